"""Makes resnet.json: what torchvision's ResNet-18 and PyTorch's AdamW do with formula weights.

    pip install torch torchvision numpy
    python resnet.py

Each weight is a formula of its tensor's name and its index, the same here and in tests/resnet.rs, so
that no weights need to be stored. Everything is computed in float64.
"""

import json
import pathlib

import numpy as np
import torch
import torchvision

CLASSES = 5


def formula(name, n):
    """n numbers in [-0.5, 0.5): FNV-1a of the name, xor the index, mixed as MurmurHash3 ends."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        h = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) ^ np.uint32(seed)
        h ^= h >> np.uint32(16)
        h *= np.uint32(0x85EBCA6B)
        h ^= h >> np.uint32(13)
        h *= np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float64) / 2**24 - 0.5


def weight(name, shape):
    u = formula(name, int(np.prod(shape))).reshape(shape)
    if len(shape) == 4:
        return u * np.sqrt(24.0 / (shape[1] * shape[2] * shape[3]))
    if len(shape) == 2:
        return u * np.sqrt(12.0 / shape[1])
    if name.endswith("running_var") or (name.endswith("weight")):
        return 1.0 + 0.4 * u
    return 0.4 * u


def network():
    net = torchvision.models.resnet18(num_classes=CLASSES).double()
    state = net.state_dict()
    for name, value in state.items():
        if not name.endswith("num_batches_tracked"):
            state[name] = torch.from_numpy(weight(name, tuple(value.shape)))
    net.load_state_dict(state)
    return net


def image(name, shape):
    return torch.from_numpy(4.0 * formula(name, int(np.prod(shape))).reshape(shape))


if __name__ == "__main__":
    out = {
        "torch": torch.__version__.split("+")[0],
        "torchvision": torchvision.__version__.split("+")[0],
        "classes": CLASSES,
    }

    net = network().eval()
    with torch.no_grad():
        out["inference"] = [
            {"name": name, "shape": shape, "logits": net(image(name, shape)).tolist()}
            for name, shape in [("small", [3, 3, 64, 64]), ("oblong", [1, 3, 112, 97])]
        ]

    # A step of training: the loss, every gradient's norm, running statistics moved by batch statistics.
    net = network().train()
    labels = torch.tensor([0, 3, 1, 4])
    loss = torch.nn.functional.cross_entropy(net(image("train", [4, 3, 64, 64])), labels)
    loss.backward()
    state = net.state_dict()
    watched = ["bn1.running_mean", "layer2.0.downsample.1.running_var", "layer4.1.bn2.running_var"]
    out["train"] = {
        "labels": labels.tolist(),
        "loss": loss.item(),
        "gradient_norms": {n: p.grad.norm().item() for n, p in net.named_parameters()},
        "statistics": {n: state[n][:5].tolist() for n in watched},
    }

    # AdamW by itself: three steps at changing rates, with weight decay.
    values = torch.from_numpy(formula("values", 8)).requires_grad_()
    optimiser = torch.optim.AdamW([values], weight_decay=0.1)
    steps = []
    for step, rate in enumerate([0.01, 0.1, 0.03]):
        optimiser.param_groups[0]["lr"] = rate
        values.grad = torch.from_numpy(formula(f"gradient {step}", 8))
        optimiser.step()
        steps.append({"rate": rate, "gradient": values.grad.tolist(), "values": values.tolist()})
    out["adamw"] = {"values": formula("values", 8).tolist(), "decay": 0.1, "steps": steps}

    path = pathlib.Path(__file__).with_name("resnet.json")
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(path, "loss", loss.item())
