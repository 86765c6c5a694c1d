"""Makes gradients.json: PyTorch's gradients of the cross-entropy with respect to images, of every network with formula weights.

    pip install torch torchvision timm efficientnet-pytorch numpy
    python gradients.py [NETWORK...]        # without names all of them

Networks, weights and images are those of networks.py, resnet.py and signal_networks.py, in float64. Of each item's gradient its
length, its product with a formula, and every STEP-th value are kept.
"""

import copy
import json
import pathlib
import sys

import torch

import networks
import resnet
import signal_networks

STEP = 499
LABELS = [0, 3]


def signal(name):
    net = signal_networks.NETWORKS[name][0]().double()
    state = net.state_dict()
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            state[key] = torch.from_numpy(signal_networks.kernel_weight(key, tuple(value.shape)))
    net.load_state_dict(state)
    return net


def gradient_of(net, x):
    x = x.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(net(x), torch.tensor(LABELS), reduction="none")
    return loss, torch.autograd.grad(loss.sum(), x)[0]


def main():
    torch.manual_seed(0)
    makers = {"resnet18": (resnet.network, [2, 3, 64, 64])}
    # Xception's activations grow large under formula weights, and on larger images some always lie at their bend.
    side = {"xception": 48}
    makers |= {name: (lambda name=name: networks.build(name), [2, 3] + 2 * [side.get(name, 64)]) for name in networks.NETWORKS}
    makers |= {name: (lambda name=name: signal(name), [2] + spec[1][1:]) for name, spec in signal_networks.NETWORKS.items()}
    path = pathlib.Path(__file__).with_suffix(".json")
    out = {"step": STEP, "window": {"fakecatcher": 64, "motion": 16, "motion_2plus1d": 16}, "networks": {}}
    names = sys.argv[1:]
    if names:
        out["networks"] = json.loads(path.read_text())["networks"]
    for name, (make, shape) in makers.items():
        if names and name not in names:
            continue
        net = make().eval()
        # Formula weights can make logits so large that every probability is 0 or 1: the last layer is scaled down.
        with torch.no_grad():
            scale = float(f"{2 / net(resnet.image('gradient', shape)).abs().max().item():.2g}")
            for array in list(net.parameters())[-2:]:
                array *= scale
        # Where an activation lies at its bend to rounding, a gradient in float32 is another one: the image is one whose
        # gradient hardly moves when the numbers do.
        tries = []
        for image in (f"gradient{k}" for k in range(32)):
            x = resnet.image(image, shape)
            loss, gradient = gradient_of(net, x)
            others = [gradient_of(copy.deepcopy(net).float(), x.float())[1]]
            others += [gradient_of(net, x + 4e-6 * torch.randn(x.shape, dtype=x.dtype))[1] for _ in range(6)]
            moved = max(((other - gradient).norm() / gradient.norm()).item() for other in others)
            tries.append((moved, image, loss, gradient))
            if moved < 1e-5:
                break
        moved, image, loss, gradient = min(tries, key=lambda one: one[0])
        flat, against = gradient.reshape(2, -1), torch.from_numpy(resnet.formula("against", gradient.numel())).reshape(2, -1)
        out["networks"][name] = {
            "shape": shape,
            "scale": scale,
            "image": image,
            "labels": LABELS,
            "loss": loss.tolist(),
            "length": flat.norm(dim=1).tolist(),
            "product": (flat * against).sum(1).tolist(),
            "values": flat[:, ::STEP].tolist(),
        }
        print(name, image, moved, loss.tolist(), flat.norm(dim=1).tolist())
    path.write_text(json.dumps(out, separators=(",", ":")).replace('"resnet18"', '\n"resnet18"').replace("},", "},\n") + "\n")


if __name__ == "__main__":
    main()
