"""Makes attacks.json: what torchattacks' FGSM, PGD, APGD and Square do to a network with formula weights, step for step.

    pip install torch torchvision torchattacks numpy scipy
    python attacks.py

All randomness is a formula (of resnet.py) or written down, the same here and in src/attack/tests.rs. Everything is computed
in float64. Of every picture each STRIDE-th value is kept.
"""

import json
import pathlib

import torch
import torchattacks

import resnet
from resnet import CLASSES, formula

NETWORK, SIZE, ITEMS, STRIDE = "resnet18", 32, 2, 13
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
torch.set_default_dtype(torch.float64)


class Model(torch.nn.Module):
    """The network on pixels from 0 to 1; keeps what it was asked about and the cross-entropies."""

    def __init__(self, net, labels):
        super().__init__()
        self.net, self.labels, self.asked, self.losses = net, labels, [], []
        # torchattacks leaves a model in training where it found it so.
        self.eval()

    def forward(self, x):
        logits = self.net((x - torch.tensor(MEAN).reshape(1, 3, 1, 1)) / torch.tensor(STD).reshape(1, 3, 1, 1))
        if self.labels is not None and len(x) == len(self.labels):
            self.asked.append(x.detach().clone())
            loss = torch.nn.functional.cross_entropy(logits, self.labels, reduction="none")
            self.losses.append(loss.detach().tolist())
        return logits


def kept(x):
    return [round(v, 7) for v in x.flatten()[::STRIDE].tolist()]


def square(net, one, label, seed):
    model, steps = Model(net, label), 40
    attack = torchattacks.Square(model, norm="Linf", eps=0.5 / 255, n_queries=steps, p_init=0.8, loss="ce", resc_schedule=True)
    attack.init_hyperparam(one)
    draws = []

    def record(draw):
        def drawn(*arguments):
            value = draw(*arguments)
            draws.append(value.to(torch.int64).flatten().tolist())
            return value

        return drawn

    attack.random_choice, attack.random_int = record(attack.random_choice), record(attack.random_int)
    torch.manual_seed(seed)
    attack.attack_single_run(one, label)
    losses = [losses[0] for losses in model.losses]
    stripes, rest = draws[0], draws[1:]
    best = max(range(len(losses)), key=lambda k: losses[k])
    gap = min(abs(loss - max(losses[: k + 1])) for k, loss in enumerate(losses[1:])) if len(losses) > steps else -1.0
    return {
        "epsilon": 0.5,
        "steps": steps,
        "stripes": stripes,
        "patches": [[rest[k][0], rest[k + 1][0], *rest[k + 2]] for k in range(0, len(rest), 3)],
        "losses": losses,
        "pixels": kept(model.asked[best]),
        "gap": gap,
    }


def main():
    shape = [ITEMS, 3, SIZE, SIZE]
    n = ITEMS * 3 * SIZE * SIZE
    # In planes.
    images = torch.from_numpy(((formula("attacked", n) + 0.5) * 255).round() / 255).reshape(shape)
    net = resnet.network().eval()
    with torch.no_grad():
        scale = float(f"{6 / Model(net, None)(images).abs().max().item():.2g}")
        for array in list(net.parameters())[-2:]:
            array *= scale
        logits = Model(net, None)(images)
        labels = logits.argmax(1)
    print("logits", logits.tolist())
    out = {"network": NETWORK, "scale": scale, "classes": CLASSES, "size": SIZE, "stride": STRIDE, "labels": labels.tolist()}

    eps = 2 / 255
    attack = torchattacks.FGSM(Model(net, labels), eps=eps)
    out["fgsm"] = {"epsilon": 2, "pixels": kept(attack(images, labels))}

    model = Model(net, labels)
    attack = torchattacks.PGD(model, eps=eps, alpha=0.5 / 255, steps=6, random_start=True)
    noise = torch.from_numpy(formula("noise", n)).reshape(shape)
    original, torch.Tensor.uniform_ = torch.Tensor.uniform_, lambda self, low, high: self.copy_(low + (high - low) * (noise + 0.5))
    last = attack(images, labels)
    torch.Tensor.uniform_ = original
    out["pgd"] = {"epsilon": 2, "step": 0.5, "losses": model.losses, "pixels": [kept(x) for x in model.asked[1:] + [last]]}
    print("pgd", model.losses)

    model = Model(net, labels)
    attack = torchattacks.APGD(model, norm="Linf", eps=eps, steps=20, n_restarts=1, loss="ce", rho=0.75)
    original, torch.rand = torch.rand, lambda shape: noise + 0.5
    best, _, best_loss, _ = attack.attack_single_run(images, labels)
    torch.rand = original
    out["apgd"] = {"epsilon": 2, "losses": model.losses, "best_losses": best_loss.tolist(), "pixels": kept(best)}
    print("apgd", model.losses)

    # One item; a budget that never fools, since torchattacks stops where it does. Of some draws those with the widest gap
    # between a candidate and what it has to beat: in float32 the same candidates are kept.
    out["square"] = max((square(net, images[:1], labels[:1], seed) for seed in range(40)), key=lambda found: found.pop("gap"))
    print("square", out["square"]["losses"])
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(out, separators=(",", ":")).replace('"fgsm"', '\n"fgsm"').replace('"pgd"', '\n"pgd"').replace('"apgd"', '\n"apgd"').replace('"square"', '\n"square"') + "\n")


if __name__ == "__main__":
    main()
