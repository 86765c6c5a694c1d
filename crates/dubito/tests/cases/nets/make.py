"""Runs of a small ResNet-18 whose weights say nothing, or are none: `python3 make.py` writes them beside itself, packed by gzip.

DUBITO unpacks nothing: the cases do, with gunzip."""

import gzip
import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, CLASSES = 4, 8


def shapes(classes):
    norm = lambda name, n: {f"{name}.{part}": [n] for part in ("weight", "bias", "running_mean", "running_var")}
    all = {"conv1.weight": [WIDTH, 3, 7, 7], **norm("bn1", WIDTH)}
    before = WIDTH
    for stage in range(4):
        n = WIDTH << stage
        for block in range(2):
            at = f"layer{stage + 1}.{block}"
            enter = before if block == 0 else n
            all |= {f"{at}.conv1.weight": [n, enter, 3, 3], **norm(f"{at}.bn1", n)}
            all |= {f"{at}.conv2.weight": [n, n, 3, 3], **norm(f"{at}.bn2", n)}
            if block == 0 and stage > 0:
                all |= {f"{at}.downsample.0.weight": [n, enter, 1, 1], **norm(f"{at}.downsample.1", n)}
        before = n
    return all | {"fc.weight": [classes, 8 * WIDTH], "fc.bias": [classes]}


def safetensors(classes, change=lambda name, values: values):
    header, data = {}, b""
    for name, shape in sorted(shapes(classes).items()):
        count = 1
        for n in shape:
            count *= n
        values = change(name, [1.0 if name.endswith("running_var") else 0.0] * count)
        packed = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def one(name, index, value):
    def change(found, values):
        if found == name:
            values[index] = value
        return values

    return change


def config(classes):
    return {
        "version": 2,
        "detector": "resnet18",
        "network": {"classes": classes, "width": WIDTH},
        "class_names": ["real"] + (["fake"] if classes == 2 else [f"generator{k}" for k in range(1, classes)]),
        "preprocessing": {
            "input_size": 32,
            "margin": 0.3,
            "normalisation": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        },
        "dropout": 0.0,
        "boundary": "head",
        "seed": 0,
        "epoch": 1,
        "valid_loss": 2.0794415416798357,
        "made_by": "make.py",
    }


def write(name, bytes):
    (HERE / f"{name}.safetensors.gz").write_bytes(gzip.compress(bytes, mtime=0))


write("nothing", safetensors(CLASSES))
write("nothing_binary", safetensors(2))
write("huge", safetensors(CLASSES, one("layer2.0.conv1.weight", 5, 3e38)))
write("nan", safetensors(CLASSES, one("fc.bias", 1, float("nan"))))
write("infinite", safetensors(CLASSES, one("layer4.1.bn2.weight", 0, float("-inf"))))
write("variance", safetensors(CLASSES, one("layer1.0.bn1.running_var", 2, -1.0)))
for name, classes in (("several", CLASSES), ("binary", 2)):
    (HERE / f"{name}.json").write_text(json.dumps(config(classes), indent=1) + "\n")
