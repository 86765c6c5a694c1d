"""Makes training.json: steps of PyTorch's SGD, rates of its schedulers, losses with their
gradients, AvUC by bayesian-torch.

    pip install torch torchvision numpy scikit-learn bayesian-torch
    python training.py

Everything is computed in float64. Numbers are the formula of resnet.py.
"""

import json
import math
import pathlib
import warnings

import torch
from bayesian_torch.utils.avuc_loss import AvULoss

from resnet import formula


def sgd(momentum, decay):
    """Steps at changing rates, with weight decay."""
    values = torch.from_numpy(formula("values", 8)).requires_grad_()
    optimiser = torch.optim.SGD([values], lr=1.0, momentum=momentum, nesterov=momentum > 0, weight_decay=decay)
    steps = []
    for step, rate in enumerate([0.01, 0.1, 0.03, 0.05]):
        optimiser.param_groups[0]["lr"] = rate
        values.grad = torch.from_numpy(formula(f"gradient {step}", 8))
        optimiser.step()
        steps.append({"rate": rate, "gradient": values.grad.tolist(), "values": values.tolist()})
    return {"momentum": momentum, "decay": decay, "values": formula("values", 8).tolist(), "steps": steps}


def rates(schedule, steps, epochs):
    """The rate at each step: LinearLR up to the largest at the last step of the warm-up, then what the schedule says."""
    parameter = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([parameter], lr=0.5)
    if schedule["name"] == "cyclic":
        # Equation 2 of Huang et al. 2017, t from 1; PyTorch's restarts are the same at whole numbers.
        cycle = -(-steps * epochs // schedule["cycles"])
        restarts = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, T_0=cycle)
        listed = []
        for t in range(1, steps * epochs + 1):
            rate = 0.5 / 2 * (math.cos(math.pi * ((t - 1) % cycle) / cycle) + 1)
            assert abs(rate - optimiser.param_groups[0]["lr"]) < 1e-12
            listed.append(rate)
            optimiser.step()
            restarts.step()
        return {"schedule": schedule, "steps_and_epochs": [steps, epochs], "rates": listed}
    warm = max(int(steps * epochs * schedule["warm_up"]), 1)
    scheduler = torch.optim.lr_scheduler
    if schedule["name"] == "cosine":
        then = scheduler.CosineAnnealingLR(optimiser, T_max=steps * epochs - warm)
    elif schedule["name"] == "step":
        then = scheduler.StepLR(optimiser, step_size=schedule["every"] * steps, gamma=schedule["factor"])
    else:
        then = scheduler.ConstantLR(optimiser, factor=1.0)
    listed = []
    for step in range(steps * epochs):
        if step < warm:
            listed.append(0.5 * (step + 1) / warm)
        else:
            listed.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        # StepLR counts epochs from the first step, the cosine its own steps from the end of the warm-up.
        if step >= warm or schedule["name"] != "cosine":
            then.step()
    return {"schedule": schedule, "steps_and_epochs": [steps, epochs], "rates": listed}


def losses():
    names = ["real", "faceswap", "wav2lip", "fsgan"]
    logits = 6.0 * formula("logits", 24).reshape(6, 4)
    labels = torch.tensor([0, 3, 1, 0, 2, 1])
    cases = []
    for class_names, loss in [
        (names, {}),
        (names, {"label_smoothing": 0.1}),
        (names, {"cross_entropy": 0.0, "focal": 1.0}),
        (names, {"cross_entropy": 0.0, "focal": 1.0, "focal_gamma": 0.5}),
        (names, {"cross_entropy": 0.0, "real_fake": 1.0}),
        (names[1:3] + names[:1] + names[3:], {"cross_entropy": 0.7, "real_fake": 0.3}),
        (names, {"cross_entropy": 0.5, "label_smoothing": 0.05, "focal": 0.25, "focal_gamma": 3.0, "real_fake": 0.25}),
        (names, {"cross_entropy": 0.0, "focal": 1e-30, "avuc": 1.0}),
        (names, {"avuc": 3.0, "avuc_threshold": 0.2}),
        (names, {"avuc": 0.5, "avuc_threshold": 0.9}),
    ]:
        z = torch.from_numpy(logits).requires_grad_()
        cross_entropy = torch.nn.functional.cross_entropy
        total = loss.get("cross_entropy", 1.0) * cross_entropy(z, labels, label_smoothing=loss.get("label_smoothing", 0.0))
        p = z.softmax(1)
        own = p[torch.arange(6), labels]
        total = total + loss.get("focal", 0.0) * (-((1 - own) ** loss.get("focal_gamma", 2.0)) * own.log()).mean()
        real = class_names.index("real")
        is_real = (labels == real).double()
        binary = torch.nn.functional.binary_cross_entropy(p[:, real], is_real)
        total = total + loss.get("real_fake", 0.0) * binary
        if loss.get("avuc"):
            threshold = loss.get("avuc_threshold", 0.5) * math.log(len(class_names))
            total = total + AvULoss(beta=loss["avuc"])(z, labels, threshold).sum()
        total.backward()
        cases.append({"class_names": class_names, "loss": loss, "value": total.item(), "gradient": z.grad.tolist()})
    return {"logits": logits.tolist(), "labels": labels.tolist(), "cases": cases}


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    out = {
        "torch": torch.__version__.split("+")[0],
        "sgd": [sgd(0.9, 0.1), sgd(0.0, 0.0)],
        "schedules": [
            rates({"name": "cosine", "warm_up": 0.1}, 4, 5),
            rates({"name": "step", "warm_up": 0.1, "every": 2, "factor": 0.3}, 4, 5),
            rates({"name": "constant", "warm_up": 0.25}, 4, 5),
            rates({"name": "cyclic", "cycles": 4}, 5, 8),
            rates({"name": "cyclic", "cycles": 3}, 7, 5),
        ],
        "losses": losses(),
    }
    path = pathlib.Path(__file__).with_name("training.json")
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(path)
