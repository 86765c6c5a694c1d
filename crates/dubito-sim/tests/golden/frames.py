"""Writes frames.json: the hashes that the test `frames_are_what_they_were` finds on this machine.

    python frames.py

Run it only when pictures are meant to change. There is no other implementation to compare with: the file holds
every machine to the same bits. That the pictures are right is tested elsewhere in subjects.rs and by mediapipe.py.
"""

import pathlib
import re
import subprocess

found = subprocess.run(["cargo", "test", "-p", "dubito-sim", "--test", "subjects", "frames_are"], text=True,
                       capture_output=True)
hashes = dict(re.findall(r'"(\d+)": String\("([0-9a-f]{64})"\)', found.stdout.split("left:")[-1].split("right:")[0]))
if hashes:
    lines = ",\n".join(f'  "{seed}": "{hashes[seed]}"' for seed in sorted(hashes))
    pathlib.Path(__file__).with_suffix(".json").write_text("{\n" + lines + "\n}\n")
print(f"{len(hashes)} hashes changed" if hashes else found.stdout[-300:])
