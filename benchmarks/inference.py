"""Posterior samples: Monte Carlo dropout and Gaussian weights beside PyTorch and bayesian-torch.

    python benchmarks/inference.py [--rounds 2] [--only variational] [--device gpu]

Installs torch, torchvision and bayesian-torch into .venv/inference, builds the example `nn_bench`, and times both sides in
turn on as many threads as there are cores. The peer does it the usual way: T calls of the whole network, with dropout on,
or with bayesian-torch's reparameterised layers in the scope. Comparisons that end in `/cached` are with PyTorch written by
hand: what lies before the scope runs once. `memory/...` is the peak of a process that does nothing else. `last_stage` is
layer4 and the head of ResNet-18, the last of MobileNetV2's five stages and the head. With `--device gpu` both sides compute there (ours through Vulkan in an
example built with the feature `wgpu`, theirs through CUDA), each once before it is timed, and memory is left out. Ends with one JSON line for each
comparison; a ratio above 1 means that we are faster, or take less.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import common

BATCH, SIZE = 16, 224
# Of dropout the boundary is where the first mask lies: after the stage before the last.
TASKS = {
    "mcdropout/head": {"do": "samples", "samples": 50, "boundary": "head"},
    "mcdropout/last_stage": {"do": "samples", "samples": 50, "boundary": "stage:3"},
    "variational/head": {"do": "variational", "samples": 50, "scope": "head"},
    "variational/last_stage": {"do": "variational", "samples": 50, "scope": "stage:4"},
    "variational/whole": {"do": "variational", "samples": 20, "scope": "all"},
}
CACHED = ["mcdropout/head", "mcdropout/last_stage", "variational/head", "variational/last_stage"]
MEMORY = ["mcdropout/last_stage", "variational/last_stage"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="times each side runs; the median counts")
    parser.add_argument("--only", default="", help="only the comparisons whose name holds this, e.g. `head/resnet18`")
    parser.add_argument("--program", help="an example `nn_bench` that is built already")
    parser.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        print(json.dumps(peer(json.loads(arguments.peer))))
        return
    gpu = arguments.device == "gpu"
    program = arguments.program or common.example("dubito-nn", "nn_bench", ["wgpu"] if gpu else [])

    tasks = {}
    for detector in ["resnet18", "mobilenet_v2"]:
        for name, task in TASKS.items():
            task = {**task, "detector": detector, "batch": BATCH, "size": SIZE, "device": arguments.device}
            tasks[f"{name}/{detector}"] = task
            if name in CACHED:
                tasks[f"{name}/{detector}/cached"] = {**task, "cached": True}
            if name in MEMORY and not gpu:
                tasks[f"memory/{name}/{detector}"] = {**task, "samples": 10}
    for name, task in tasks.items():
        if arguments.only not in name:
            continue
        rounds = 1 if name.startswith("memory/") else arguments.rounds
        pairs = [(ask(program, task), ask([sys.executable, __file__, "--peer", json.dumps(task)])) for _ in range(rounds)]
        what = "peak_mib" if name.startswith("memory/") else "seconds"
        ours, theirs = (statistics.median(pair[side][what] for pair in pairs) for side in (0, 1))
        if what == "peak_mib":
            common.report(name, ours, theirs, "MiB", lower_is_better=True)
        else:
            where = " on a GPU" if gpu else ""
            common.report(name, BATCH / ours, BATCH / theirs, f"images/s of {task['samples']} samples{where}")


def ask(command, task=None):
    """The answer of a process of its own: seconds of the samples, and its peak memory."""
    command = command if isinstance(command, list) else [command]
    line = None if task is None else json.dumps({k: v for k, v in task.items() if k != "cached"}) + "\n"
    done = subprocess.run(command, input=line, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def peer(task):
    import torch
    import torchvision
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn

    torch.set_num_threads(os.cpu_count())
    net = getattr(torchvision.models, task["detector"])(num_classes=2).eval()
    if task["detector"] == "resnet18":
        before = [net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3]
        last, pool, head = [net.layer4], [net.avgpool, torch.nn.Flatten()], net.fc
    else:
        before, last = list(net.features[:14]), list(net.features[14:])
        pool, head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()], net.classifier[1]
    at_head = "head" in (task.get("boundary"), task.get("scope"))
    on = torch.nn.Dropout(0.2).train()
    if task["do"] == "samples":
        drop = [] if at_head else [torch.nn.Dropout2d(0.2).train()]
        parts = [before + drop, last + (drop if not at_head else []) + pool + [on], [head]]
    else:
        parts = [before, last + pool, [head]]
    front, back, head = (torch.nn.Sequential(*part) for part in parts)
    if task["do"] == "variational":
        prior = {
            "prior_mu": 0.0,
            "prior_sigma": 1.0,
            "posterior_mu_init": 0.0,
            "posterior_rho_init": -3.0,
            "type": "Reparameterization",
            "moped_enable": True,
            "moped_delta": 0.2,
        }
        for part, scopes in [(front, ["all"]), (back, ["all", "stage:4"]), (head, ["all", "stage:4", "head"])]:
            if task["scope"] in scopes:
                dnn_to_bnn(part, prior)
    # What is run once where the trunk is cached, and what for each sample.
    once, each = torch.nn.Sequential(), torch.nn.Sequential(front, back, head)
    if task.get("cached"):
        if at_head:
            once, each = torch.nn.Sequential(front, back[:-1] if task["do"] == "samples" else back), head
            each = torch.nn.Sequential(on, head) if task["do"] == "samples" else head
        elif task["do"] == "samples":
            once, each = front[:-1], torch.nn.Sequential(front[-1], back, head)
        else:
            once, each = front, torch.nn.Sequential(back, head)
    gpu = task["device"] == "gpu"
    device = torch.device("cuda" if gpu else "cpu")
    net, once, each = net.to(device), once.to(device), each.to(device)
    x = torch.randn(task["batch"], 3, task["size"], task["size"], device=device)
    with torch.inference_mode():
        net(x[:1])
        for _ in range(2 if gpu else 1):
            begin = time.perf_counter()
            y = once(x)
            samples = torch.stack([each(y).softmax(1) for _ in range(task["samples"])]).cpu()
            seconds = time.perf_counter() - begin
    assert samples.shape == (task["samples"], task["batch"], 2)
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    python = common.environment("inference", ["torch", "torchvision", "bayesian-torch"])
    if os.path.realpath(sys.prefix) == os.path.realpath(python.parent.parent):
        main()
    else:
        sys.exit(subprocess.run([python, *sys.argv]).returncode)
