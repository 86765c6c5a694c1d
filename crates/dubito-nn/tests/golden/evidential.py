"""Makes evidential.json: the loss of evidential deep learning by torch-uncertainty, with its gradient by the logits, whose
softplus is the evidence.

    pip install torch numpy torch-uncertainty
    python evidential.py

The file of torch-uncertainty is run by itself, since the package asks for many others.
"""

import importlib.util
import json
import pathlib
import runpy

import torch

from resnet import formula

package = pathlib.Path(importlib.util.find_spec("torch_uncertainty").submodule_search_locations[0])
DECLoss = runpy.run_path(package / "losses" / "classification.py")["DECLoss"]
logits = 6.0 * formula("evidence", 20).reshape(5, 4)
labels = torch.tensor([0, 3, 1, 0, 2])
cases = []
for annealing, epoch in [(10, 0), (10, 3), (10, 25), (1, 1)]:
    z = torch.from_numpy(logits).requires_grad_()
    loss = DECLoss(annealing_step=annealing, loss_type="mse", reduction="mean")
    value = loss(torch.nn.functional.softplus(z), labels, current_epoch=epoch)
    value.backward()
    cases.append({"annealing": annealing, "epoch": epoch, "value": value.item(), "gradient": z.grad.tolist()})
path = pathlib.Path(__file__).with_name("evidential.json")
path.write_text(json.dumps({"logits": logits.tolist(), "labels": labels.tolist(), "cases": cases}, indent=1) + "\n")
print(path)
