"""Detectors: prediction, posterior samples and training beside PyTorch.

    python benchmarks/nn.py [--rounds 3]

Installs torch, torchvision and timm into .venv/nn, builds the example `nn_bench`, and times both sides in turn, round by round, in one go on as many threads as there are cores. The peer draws
posterior samples as its users do, by a loop over whole passes with dropout on. Ends with one JSON
line per comparison, of every detector two; a ratio above 1 means that we are faster (or, for the cost of samples, cheaper).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import common

BATCH, SIZE, SAMPLES = 16, 224, 50
TRAIN = {"batch": 32, "size": 112, "crops": 128}
# Every detector forward, and trained, at one size; two steps are timed.
DETECTORS = ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_b4", "xception"]
SMALL = {"batch": 8, "size": 128}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times each side runs; the median counts")
    parser.add_argument("--only", help="time only the tasks whose name holds this, e.g. `xception`")
    arguments = parser.parse_args()
    ours, peer = Ours(), Peer()

    tasks = {
        "forward": {"do": "forward", "batch": BATCH, "size": SIZE},
        "samples": {"do": "samples", "batch": BATCH, "size": SIZE, "samples": SAMPLES, "boundary": "head"},
        "train": {"do": "train", "freeze": None, **TRAIN},
        "train tail": {"do": "train", "freeze": "layer3", **TRAIN},
    }
    for detector in DETECTORS:
        tasks[f"{detector} forward"] = {"do": "forward", "detector": detector, **SMALL}
        tasks[f"{detector} train"] = {"do": "train", "detector": detector, "freeze": None, "crops": 2 * SMALL["batch"], **SMALL}
    if arguments.only:
        tasks = {name: task for name, task in tasks.items() if arguments.only in name}
    seconds = {name: ([], []) for name in tasks}
    for round_ in range(arguments.rounds + 1):
        for name, task in tasks.items():
            pair = ours.time(task), peer.time(task)
            print(f"round {round_} {name}: ours {pair[0]:.3f} s, PyTorch {pair[1]:.3f} s", flush=True)
            if round_ > 0:  # The first round warms up.
                for times, t in zip(seconds[name], pair):
                    times.append(t)

    median = {name: [statistics.median(t) for t in pair] for name, pair in seconds.items()}
    rate = lambda items, name: [items / t for t in median[name]]
    for detector in DETECTORS:
        at = f"{SMALL['size']} px, batch {SMALL['batch']}"
        if f"{detector} forward" in median:
            report(f"{detector} forward, {at}", rate(SMALL["batch"], f"{detector} forward"), "images/s")
            report(f"{detector} training, {at}", rate(2 * SMALL["batch"], f"{detector} train"), "images/s")
    if arguments.only:
        return
    passes = [median["samples"][side] / median["forward"][side] for side in (0, 1)]
    report("ResNet-18 forward, 224 px, batch 16", rate(BATCH, "forward"), "images/s")
    report("50 posterior samples at the head, 224 px, batch 16", rate(BATCH, "samples"), "images/s")
    report("cost of 50 samples", passes, "single passes", lower_is_better=True)
    report("ResNet-18 training, 112 px, batch 32", rate(TRAIN["crops"], "train"), "images/s")
    report("training layer4 and the head, the rest frozen and cached", rate(TRAIN["crops"], "train tail"), "images/s")


def report(name, pair, unit, lower_is_better=False):
    common.report(name, *pair, unit, lower_is_better)


class Ours:
    """The example binary, asked over its standard input."""

    def __init__(self):
        program = common.example("dubito-nn", "nn_bench")
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def time(self, task):
        print(json.dumps(task), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())["seconds"]


class Peer:
    """torchvision's networks, ResNet-18 with dropout before its last layer; timm's Xception."""

    def __init__(self):
        import timm
        import torch
        import torchvision

        torch.set_num_threads(os.cpu_count())
        self.torch = torch
        models = torchvision.models
        self.make = {name: getattr(models, name) for name in DETECTORS if name != "xception"}
        self.make["xception"] = lambda num_classes: timm.create_model("legacy_xception", num_classes=num_classes)
        self.nets = {}

    def time(self, task):
        detector = task.get("detector", "resnet18")
        if detector not in self.nets:
            self.nets[detector] = self.make[detector](num_classes=2)
            if detector == "resnet18":
                net = self.nets[detector]
                net.fc = self.torch.nn.Sequential(self.torch.nn.Dropout(0.2), net.fc)
        self.net = self.nets[detector]
        return getattr(self, task["do"])(task)

    def forward(self, task):
        self.net.eval()
        x = self.torch.randn(task["batch"], 3, task["size"], task["size"])
        begin = time.perf_counter()
        with self.torch.inference_mode():
            self.net(x)
        return time.perf_counter() - begin

    def samples(self, task):
        self.net.eval()
        self.net.fc[0].train()
        x = self.torch.randn(task["batch"], 3, task["size"], task["size"])
        begin = time.perf_counter()
        with self.torch.inference_mode():
            self.torch.stack([self.net(x).softmax(1) for _ in range(task["samples"])])
        return time.perf_counter() - begin

    def train(self, task):
        torch = self.torch
        net = self.net.train()
        x = torch.randn(task["crops"], 3, task["size"], task["size"])
        y = torch.arange(task["crops"]) % 2
        tail = torch.nn.Sequential(net)
        if task["freeze"] == "layer3":
            net.eval()
            with torch.no_grad():
                x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
                x = net.layer3(net.layer2(net.layer1(x)))
            tail = torch.nn.Sequential(net.layer4, net.avgpool, torch.nn.Flatten(), net.fc).train()
        optimiser = torch.optim.AdamW(tail.parameters(), lr=1e-4)
        begin = time.perf_counter()
        for i in range(0, task["crops"], task["batch"]):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(tail(x[i : i + task["batch"]]), y[i : i + task["batch"]])
            loss.backward()
            optimiser.step()
        return time.perf_counter() - begin


if __name__ == "__main__":
    python = common.environment("nn", ["torch", "torchvision", "timm"])
    if os.path.realpath(sys.prefix) == os.path.realpath(python.parent.parent):
        main()
    else:
        sys.exit(subprocess.run([python, *sys.argv]).returncode)
