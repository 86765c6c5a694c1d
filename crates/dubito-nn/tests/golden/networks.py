"""Makes networks.json: what the original implementations of the detectors' networks do with formula weights.

    pip install torch torchvision timm efficientnet-pytorch numpy
    python networks.py

Weights and images are formulas of names and indices (resnet.py), the same here and in tests/networks.rs. Everything is
computed in float64. Xception is timm's `legacy_xception`, Cadene's code, whose `fc` is called `last_linear` there.
"""

import json
import pathlib

import efficientnet_pytorch
import timm
import torch
import torchvision

from resnet import CLASSES, image, weight

models = torchvision.models
NETWORKS = {
    "mobilenet_v2": lambda: models.mobilenet_v2(num_classes=CLASSES, dropout=0.0),
    "mobilenet_v3_small": lambda: models.mobilenet_v3_small(num_classes=CLASSES, dropout=0.0),
    "efficientnet_b0": lambda: tensorflow("efficientnet-b0"),
    "efficientnet_b4": lambda: tensorflow("efficientnet-b4"),
    "efficientnet_b0_torchvision": lambda: models.efficientnet_b0(num_classes=CLASSES, stochastic_depth_prob=0.0, dropout=0.0),
    "efficientnet_b4_torchvision": lambda: models.efficientnet_b4(num_classes=CLASSES, stochastic_depth_prob=0.0, dropout=0.0),
    "xception": lambda: timm.create_model("legacy_xception", num_classes=CLASSES, drop_rate=0.0),
}
# Of these one step of training: the loss, every gradient's norm, running statistics moved by the batch's.
TRAINED = {
    "mobilenet_v2": "features.4.conv.1.1.running_var",
    "mobilenet_v3_small": "features.5.block.1.1.running_var",
    "efficientnet_b0": "_blocks.3._bn1.running_var",
    "xception": "bn3.running_mean",
}


def tensorflow(name):
    return efficientnet_pytorch.EfficientNet.from_name(name, num_classes=CLASSES, drop_connect_rate=0.0, dropout_rate=0.0)


def renamed(network, name):
    """The name that the weight has in the community's checkpoints."""
    return name.replace("fc.", "last_linear.") if network == "xception" else name


def build(network):
    net = NETWORKS[network]().double()
    state = net.state_dict()
    for name, value in state.items():
        if not name.endswith("num_batches_tracked"):
            state[name] = torch.from_numpy(weight(renamed(network, name), tuple(value.shape)))
    net.load_state_dict(state)
    return net


if __name__ == "__main__":
    out = {"classes": CLASSES, "networks": {}}
    for name in NETWORKS:
        net = build(name).eval()
        arrays = sum(not n.endswith("num_batches_tracked") for n in net.state_dict())
        with torch.no_grad():
            cases = [
                {"name": case, "shape": shape, "logits": net(image(case, shape)).tolist()}
                for case, shape in [("square", [2, 3, 96, 96]), ("oblong", [1, 3, 129, 102])]
            ]
        out["networks"][name] = {"arrays": arrays, "inference": cases}
        if name in TRAINED:
            net.train()
            labels = torch.tensor([0, 3, 1, 4])
            loss = torch.nn.functional.cross_entropy(net(image("train", [4, 3, 96, 96])), labels)
            loss.backward()
            out["networks"][name]["train"] = {
                "labels": labels.tolist(),
                "loss": loss.item(),
                "gradient_norms": {renamed(name, n): p.grad.norm().item() for n, p in net.named_parameters()},
                "statistics": {TRAINED[name]: net.state_dict()[TRAINED[name]][:5].tolist()},
            }
        print(name, cases[0]["logits"][0], out["networks"][name].get("train", {}).get("loss"))
    path = pathlib.Path(__file__).with_name("networks.json")
    path.write_text(json.dumps(out, separators=(",", ":")).replace('"networks":', '\n"networks":').replace('"train":', '\n"train":') + "\n")
    print(path)
