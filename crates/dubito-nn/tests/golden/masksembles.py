"""Makes masksembles.json: masks by the authors' algorithm, as torch-uncertainty has it, with the random choices it made.

    pip install torch numpy torch-uncertainty
    python masksembles.py

The file of torch-uncertainty is run by itself, since the package asks for many others.
"""

import importlib.util
import json
import pathlib
import runpy

import numpy as np

package = pathlib.Path(importlib.util.find_spec("torch_uncertainty").submodule_search_locations[0])
program = runpy.run_path(package / "layers" / "masksembles.py")
wrapper, generate = program["generation_wrapper"], program["generate_masks"]
rng, choices = np.random.RandomState(7), []


class Recorded:
    def choice(self, places, many, replace):
        chosen = rng.choice(len(places), many, replace=replace)
        choices.append([len(places), chosen.tolist()])
        return chosen


def after_the_first(*arguments):
    """The wrapper's first masks go unused."""
    masks = generate(*arguments)
    if after_the_first.is_first:
        choices.clear()
    after_the_first.is_first = False
    return masks


np.random.default_rng = Recorded
wrapper.__globals__["generate_masks"] = after_the_first
cases = []
for channels, masks, scale in [(10, 2, 2.0), (16, 4, 2.0), (24, 3, 1.5), (32, 4, 3.0), (20, 8, 6.0)]:
    choices.clear()
    after_the_first.is_first = True
    made = wrapper(channels, masks, scale)
    case = {"channels": channels, "masks": masks, "scale": scale, "choices": list(choices)}
    cases.append({**case, "made": made.astype(int).tolist()})
path = pathlib.Path(__file__).with_name("masksembles.json")
path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
print(path)
