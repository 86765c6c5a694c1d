"""Connected components of random graphs of people, by SciPy: components.json.

    pip install scipy
    python components.py

Each case is a list of videos [target, donor or null]; its components are sorted lists of names, sorted.
"""

import json
import random
from pathlib import Path

from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def components(videos):
    names = sorted({person for video in videos for person in video if person is not None})
    place = {name: i for i, name in enumerate(names)}
    edges = [(place[a], place[a if b is None else b]) for a, b in videos]
    rows, columns = zip(*edges)
    graph = coo_matrix(([1] * len(edges), (rows, columns)), shape=(len(names), len(names)))
    count, labels = connected_components(graph, directed=False)
    return sorted([names[i] for i in range(len(names)) if labels[i] == c] for c in range(count))


def main():
    draw = random.Random(1)
    cases = []
    for people, videos in [(1, 1), (2, 1), (5, 3), (30, 12), (30, 25), (60, 60), (200, 90), (200, 150)]:
        case = []
        for _ in range(videos):
            target = f"p{draw.randrange(people)}"
            donor = None if draw.random() < 0.25 else f"p{draw.randrange(people)}"
            case.append([target, donor])
        cases.append({"videos": case, "components": components(case)})
    # A chain, whose ends meet only through everyone between them, in an order that joins late.
    chain = [[f"c{i}", f"c{i + 1}"] for i in range(40)]
    draw.shuffle(chain)
    cases.append({"videos": chain, "components": components(chain)})
    Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
