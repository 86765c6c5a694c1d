"""Makes torch/*.pt, files as PyTorch and hostile hands write them, and torch_files.json with what they hold.

    pip install torch numpy
    python torch_files.py
"""

import argparse
import collections
import io
import json
import os
import pathlib
import pickle
import zipfile

import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
OUT = HERE / "torch"
OUT.mkdir(exist_ok=True)
held = {}


class Net(nn.Module):
    """A class that a reader can't know."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, (2, 1), bias=False)
        self.bn = nn.BatchNorm2d(3)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
        self.tied = self.head[1]


def formula(count, first):
    return torch.sin(torch.arange(first, first + count, dtype=torch.float64) * 0.7)


def net():
    made = Net()
    with torch.no_grad():
        for at, value in enumerate(made.state_dict().values()):
            if value.is_floating_point():
                value.copy_(formula(value.numel(), at).reshape(value.shape))
    return made


def kinds():
    base = formula(24, 1).to(torch.float32)
    return collections.OrderedDict(
        f64=formula(4, 0),
        f32=base.reshape(2, 3, 4),
        f16=formula(5, 2).to(torch.float16),
        bf16=formula(5, 3).to(torch.bfloat16),
        i64=torch.tensor([1, -2, 1 << 40]),
        i32=torch.tensor([3, -4], dtype=torch.int32),
        i16=torch.tensor([5, -6], dtype=torch.int16),
        i8=torch.tensor([7, -8], dtype=torch.int8),
        u8=torch.tensor([9, 250], dtype=torch.uint8),
        bool=torch.tensor([True, False, True]),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        transposed=base.reshape(4, 6).t(),
        stepped=base[3:20:4],
        repeated=base[:3].reshape(3, 1).expand(3, 4),
        shared=base[5:9],
        permuted=base.reshape(2, 3, 4).permute(2, 0, 1),
    )


def note(name, state):
    held[name] = {
        key: {"shape": list(value.shape), "type": str(value.dtype).split(".")[1], "values": value.double().flatten().tolist()}
        for key, value in state.items()
    }


def save(name, thing, state, legacy=False):
    torch.save(thing, OUT / name, _use_new_zipfile_serialization=not legacy)
    note(name, state)


def no_source(*_):
    """Legacy files carry the source of their classes; these need none."""
    raise OSError


def main():
    torch.manual_seed(0)
    torch.serialization.get_source_lines_and_file = no_source
    for legacy, kind in [(False, "zip"), (True, "legacy")]:
        save(f"{kind}_kinds.pt", kinds(), kinds(), legacy)
        state = net().state_dict()
        trained = net()
        optimiser = torch.optim.Adam(trained.parameters(), lr=0.1)
        trained.head(torch.ones(1, 3)).sum().backward()
        optimiser.step()
        nested = {
            "epoch": 3,
            "best": np.float64(0.75),
            "args": argparse.Namespace(lr=0.1, name="x"),
            "optimizer": optimiser.state_dict(),
            "state_dict": collections.OrderedDict((f"module.{key}", value) for key, value in state.items()),
        }
        save(f"{kind}_nested.pt", nested, nested["state_dict"], legacy)
        parameters = {key: nn.Parameter(value) for key, value in state.items() if value.is_floating_point()}
        save(f"{kind}_parameters.pt", parameters, parameters, legacy)
        layers = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.ReLU()))
        save(f"{kind}_layers.pt", layers, layers.state_dict(), legacy)
    # A whole network of a class of one's own: a legacy file marks the class as a network, a zip file doesn't.
    save("legacy_network.pt", net(), net().state_dict(), legacy=True)
    torch.save(net(), OUT / "zip_network_refused.pt")
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), OUT / "script_refused.pt")

    class Evil:
        def __init__(self, function, *arguments):
            self.call = (function, arguments)

        def __reduce__(self):
            return self.call

    evil = {"system": Evil(os.system, "echo pwned"), "eval": Evil(eval, "1 + 1"), "getattr": Evil(getattr, os, "sep")}
    for name, thing in evil.items():
        torch.save({"w": torch.ones(2), "x": thing} if name != "getattr" else Evil(getattr, "a", "b"), OUT / f"{name}_evil.pt")
    (OUT / "plain_evil.pt").write_bytes(pickle.dumps(Evil(os.system, "echo pwned"), protocol=2))
    swapped = io.BytesIO()
    with zipfile.ZipFile(OUT / "zip_layers.pt") as old, zipfile.ZipFile(swapped, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, b"big" if entry.endswith("byteorder") else old.read(entry))
    (OUT / "big_refused.pt").write_bytes(swapped.getvalue())
    (HERE / "torch_files.json").write_text(json.dumps(held) + "\n")


main()
