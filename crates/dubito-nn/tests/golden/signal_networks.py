"""Makes signal_networks.json: what PyTorch's layers do as the networks on PPG maps and on magnified motion, with formula weights.

    pip install torch torchvision numpy
    python signal_networks.py

No weights of these networks are published, so there is no original to compare with; what is compared is the arithmetic: 3-D
convolutions, the order in which maps are flattened, gradients. Everything is computed in float64, as in networks.py.
"""

import json
import pathlib

import torch
import torchvision
from torch import nn

from resnet import CLASSES, image, weight

FRAMES = 16


class Fakecatcher(nn.Module):
    """Maps [items, 1, 64, omega]."""

    def __init__(self, width=16, omega=64):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width)
        self.conv3, self.bn3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1), nn.BatchNorm2d(4 * width)
        self.fc1, self.fc2 = nn.Linear(4 * width * 8 * omega // 8, 128), nn.Linear(128, CLASSES)

    def forward(self, x):
        for conv, norm in [(self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)]:
            x = nn.functional.max_pool2d(norm(conv(x)).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


class PpgCells(nn.Module):
    """torchvision's VGG-19 with batch norm on one channel, a mean over the map before the last layer."""

    def __init__(self):
        super().__init__()
        self.features = torchvision.models.vgg19_bn().features
        self.features[0] = nn.Conv2d(1, 64, 3, padding=1)
        self.classifier = nn.Linear(512, CLASSES)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Motion(nn.Module):
    """Clips [items, 2, FRAMES * side, side], the frames one below the other."""

    def __init__(self, factored, width=16):
        super().__init__()
        self.layers = []
        before, frames = 2, FRAMES
        for n in range(5):
            out, stride = width << min(n, 3), 2 if n > 0 and frames > 1 else 1
            if factored:
                conv = nn.Sequential(
                    nn.Conv3d(before, out, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
                    nn.BatchNorm3d(out),
                    nn.ReLU(),
                    nn.Conv3d(out, out, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
                )
            else:
                conv = nn.Conv3d(before, out, 3, (stride, 2, 2), 1, bias=False)
            norm = nn.BatchNorm3d(out)
            self.add_module(f"conv{n + 1}", conv)
            self.add_module(f"bn{n + 1}", norm)
            self.layers.append((conv, norm))
            before, frames = out, (frames + 2 - 3) // stride + 1
        self.fc = nn.Linear(before, CLASSES)

    def forward(self, x):
        items, channels, height, side = x.shape
        x = x.reshape(items, channels, FRAMES, height // FRAMES, side)
        for conv, norm in self.layers:
            x = norm(conv(x)).relu()
        return self.fc(x.mean((2, 3, 4)))


NETWORKS = {
    "fakecatcher": (Fakecatcher, [3, 1, 64, 64], "bn3.running_mean"),
    "ppg_cells": (PpgCells, [3, 1, 64, 64], "features.1.running_var"),
    "motion": (lambda: Motion(False), [3, 2, FRAMES * 48, 48], "bn3.running_var"),
    "motion_2plus1d": (lambda: Motion(True), [3, 2, FRAMES * 48, 48], "conv3.1.running_var"),
}


def kernel_weight(name, shape):
    """As `weight`, of a kernel over frames too."""
    return weight(name, (shape[0], shape[1], 1, shape[2] * shape[3] * shape[4])).reshape(shape) if len(shape) == 5 else weight(name, shape)


def main():
    out = {"window": {"fakecatcher": 64, "motion": FRAMES, "motion_2plus1d": FRAMES}, "networks": {}}
    for name, (make, shape, statistic) in NETWORKS.items():
        net = make().double()
        state = net.state_dict()
        for key, value in state.items():
            if not key.endswith("num_batches_tracked"):
                state[key] = torch.from_numpy(kernel_weight(key, tuple(value.shape)))
        net.load_state_dict(state)
        arrays = sum(not key.endswith("num_batches_tracked") for key in state)
        with torch.no_grad():
            logits = net.eval()(image("signal", shape)).tolist()
        net.train()
        labels = torch.tensor([0, 3, 1, 4])
        loss = nn.functional.cross_entropy(net(image("train", [4] + shape[1:])), labels)
        loss.backward()
        out["networks"][name] = {
            "arrays": arrays,
            "inference": [{"name": "signal", "shape": shape, "logits": logits}],
            "train": {
                "labels": labels.tolist(),
                "shape": [4] + shape[1:],
                "loss": loss.item(),
                "gradient_norms": {key: p.grad.norm().item() for key, p in net.named_parameters()},
                "statistics": {statistic: net.state_dict()[statistic][:5].tolist()},
            },
        }
        print(name, logits[0], loss.item())
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
