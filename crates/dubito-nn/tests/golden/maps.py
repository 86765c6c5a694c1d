"""Makes maps.json: what PyTorch and captum say of the maps of two ResNet-18 with formula weights.

    pip install torch torchvision numpy captum scipy
    python maps.py

The posterior has two samples, each with its logits divided by TEMPERATURE: the network of resnet.py, and one whose
weights are the formula of "other " before each name. Float64.
"""

import json
import pathlib

import captum
import numpy as np
import scipy.ndimage
import torch
import torchvision
from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, Occlusion, Saliency

from resnet import CLASSES, image, weight

REAL = 0
TEMPERATURE = 20.0


def network(prefix):
    net = torchvision.models.resnet18(num_classes=CLASSES).double()
    state = net.state_dict()
    for name, value in state.items():
        if not name.endswith("num_batches_tracked"):
            state[name] = torch.from_numpy(weight(prefix + name, tuple(value.shape)))
    net.load_state_dict(state)
    return net.eval()


NETS = [network(""), network("other ")]


def quantity(name, x):
    p = torch.stack([(net(x) / TEMPERATURE).softmax(1) for net in NETS], dim=1)
    p = torch.stack([p[:, :, REAL], 1 - p[:, :, REAL]], dim=2)
    h = lambda p: -torch.xlogy(p, p).sum(-1)
    total, aleatoric = h(p.mean(1)), h(p).mean(1)
    return {
        "total": total,
        "aleatoric": aleatoric,
        "epistemic": total - aleatoric,
        "p_fake": p[:, :, 1].mean(1),
    }[name]


def blurred(x, sigma):
    blur = lambda plane: scipy.ndimage.gaussian_filter(plane, sigma, mode="nearest", truncate=3.0)
    return torch.from_numpy(np.stack([[blur(plane) for plane in item] for item in x.numpy()]))


def grid(maps):
    """Sums of 16 x 16 pixels of maps [items, 64, 64], row by row."""
    n, h, w = maps.shape
    return maps.reshape(n, h // 16, 16, w // 16, 16).sum((2, 4)).reshape(n, -1).tolist()


if __name__ == "__main__":
    x = image("map", [2, 3, 64, 64]) * 0.5
    out = {"torch": torch.__version__.split("+")[0], "captum": captum.__version__, "blur": 4.0, "steps": 6,
           "patch": 16, "stride": 16, "quantities": {}}
    base = blurred(x, out["blur"])
    for name in ["total", "aleatoric", "epistemic", "p_fake"]:
        forward = lambda x: quantity(name, x)
        sums = lambda a: a.sum(1).detach()
        integrated, delta = IntegratedGradients(forward).attribute(
            x, base, method="riemann_middle", n_steps=out["steps"], return_convergence_delta=True)
        step = (out["patch"], out["stride"])
        occlusion = Occlusion(forward).attribute(
            x, sliding_window_shapes=(3, step[0], step[0]), strides=(3, step[1], step[1]), baselines=base)
        out["quantities"][name] = {
            "values": forward(x).tolist(),
            "gradient": grid(Saliency(forward).attribute(x.clone().requires_grad_()).sum(1)),
            "times_input": grid(sums(InputXGradient(forward).attribute(x.clone().requires_grad_()))),
            "integrated": grid(sums(integrated)),
            "gap": delta.abs().tolist(),
            # Each channel group is one window in captum, so every channel holds the window's value.
            "occlusion": grid(occlusion[:, 0].detach()),
        }
    cam = LayerGradCam(NETS[0], NETS[0].layer4).attribute(x, target=1, relu_attributions=True)
    large = torch.nn.functional.interpolate(cam, size=(64, 64), mode="bilinear", align_corners=False)
    out["grad_cam"] = grid(large[:, 0].detach())

    path = pathlib.Path(__file__).with_name("maps.json")
    path.write_text(json.dumps(out, indent=1) + "\n")
