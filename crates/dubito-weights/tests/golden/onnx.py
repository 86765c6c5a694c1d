"""Makes cnn.json: what ONNX Runtime computes of cnn.onnx, once PyTorch's own layers agree.

    DUBITO_WRITE_GOLDEN=1 cargo test -p dubito-weights --test onnx
    pip install onnx onnxruntime torch
    python onnx.py
"""

import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE.resolve()]

import numpy as np
import onnx
import onnxruntime
import torch
from torch.nn import functional as F


def formula(name, *shape):
    first = sum(name.encode())
    values = [0.5 * math.sin((first + i) * 0.7) for i in range(math.prod(shape))]
    values = torch.tensor(values, dtype=torch.float64).to(torch.float32).reshape(shape)
    return values + 1 if name.endswith("var") else values


def network(x):
    x = F.pad(x, (0, 3, 1, 2), value=0.25)
    x = F.conv2d(F.pad(x, (0, 1, 1, 0)), formula("stem.weight", 8, 3, 3, 2), stride=(2, 1))
    bn = [formula(f"bn.{part}", 8) for part in ["mean", "var", "weight", "bias"]]
    x = F.hardswish(F.batch_norm(x, *bn, eps=1e-3))
    y = F.conv2d(x, formula("depthwise.weight", 8, 1, 3, 3), formula("depthwise.bias", 8), padding=2, dilation=2, groups=8)
    y = y.clamp(-0.1, 0.4)
    s = y.mean((2, 3), keepdim=True)
    s = F.relu(F.conv2d(s, formula("squeeze.weight", 4, 8, 1, 1), formula("squeeze.bias", 4)))
    s = F.hardsigmoid(F.conv2d(s, formula("excite.weight", 8, 4, 1, 1), formula("excite.bias", 8)))
    x = x + y * s
    x = F.max_pool2d(F.pad(x, (0, 1, 1, 1), value=-math.inf), (3, 2), 2)
    ones = F.avg_pool2d(F.pad(torch.ones_like(x), (1, 0, 1, 0)), 2, 1)
    x = F.avg_pool2d(F.pad(x, (1, 0, 1, 0)), 2, 1) / ones
    logits = F.linear(F.silu(x).mean((2, 3)), formula("head.weight", 2, 8), formula("head.bias", 2))
    return logits, logits.softmax(1)


path = HERE / "cnn.onnx"
onnx.checker.check_model(str(path), full_check=True)
model = onnx.load(path)
assert model.opset_import[0].version == 17 and model.metadata_props[0].value == "12"
image = formula("image", 2, 3, 12, 10)
found = onnxruntime.InferenceSession(str(path)).run(["logits", "probabilities"], {"image": image.numpy()})
for ours, theirs in zip(found, network(image)):
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)
names = ["logits", "probabilities"]
(HERE / "cnn.json").write_text(json.dumps({n: v.astype(float).flatten().tolist() for n, v in zip(names, found)}) + "\n")
print(found)
