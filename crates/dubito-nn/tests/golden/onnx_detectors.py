"""Makes onnx_detectors/*.onnx, small detectors as PyTorch exports them or as others write them, and onnx_detectors.json
with what ONNX Runtime says of one crop.

    pip install numpy onnx onnxruntime
    python onnx_detectors.py
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
OUT = HERE / "onnx_detectors"
OUT.mkdir(exist_ok=True)
SIZE = 32


def weight(name, *shape, scale=1.0):
    count = int(np.prod(shape))
    values = scale * np.sin((sum(name.encode()) + np.arange(count)) * 0.7)
    return numpy_helper.from_array(values.reshape(shape).astype(np.float32), name)


def detector(name, outputs=2, last=None, shape=("batch", 3, SIZE, SIZE), nhwc=False, extra_input=False, odd=None):
    """Convolution, ReLU, mean and linear layer, on the crop as it is or with channels last."""
    nodes = [helper.make_node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2])] if nhwc else [
        helper.make_node("Identity", ["image"], ["x"])
    ]
    nodes += [
        helper.make_node("Conv", ["x", "conv.w", "conv.b"], ["c"], kernel_shape=[3, 3], dilations=[1, 1], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "head.w", "head.b"], ["logits"], transB=1),
    ]
    end = "logits"
    if odd:
        nodes.append(helper.make_node(odd, ["logits"], ["odd"]))
        end = "odd"
    if last:
        nodes.append(helper.make_node(last, [end], ["p"]))
        end = "p"
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", 8]))
    output = helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", outputs])
    weights = [
        weight("conv.w", 4, 3, 3, 3, scale=0.2),
        weight("conv.b", 4, scale=0.1),
        weight("head.w", outputs, 4, scale=0.6),
        weight("head.b", outputs, scale=0.1),
    ]
    graph = helper.make_graph(nodes, name, inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="golden")
    model.ir_version = 8
    onnx.save(model, OUT / f"{name}.onnx")


def crop():
    """RGB bytes [size, size, 3]; the same formula in tests/onnx_detector.rs."""
    i = np.arange(SIZE * SIZE * 3, dtype=np.int64)
    return ((i * 7919 + (i // 97) * 31) % 256).astype(np.uint8).reshape(SIZE, SIZE, 3)


def main():
    detector("two_logits")
    detector("one_logit", outputs=1)
    detector("softmax", last="Softmax")
    detector("sigmoid", outputs=1, last="Sigmoid")
    detector("nhwc", nhwc=True, shape=("batch", SIZE, SIZE, 3))
    detector("one_at_a_time", shape=(1, 3, SIZE, SIZE))
    detector("open_sizes", shape=("batch", 3, "height", "width"))
    detector("five_classes", outputs=5)
    detector("two_inputs", extra_input=True)
    detector("unknown_operator", odd="Frobnicate")
    detector("flat_input", shape=("batch", 3 * SIZE * SIZE))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = ((crop() / 255.0 - mean) / std).astype(np.float32)
    held = {}
    for name in ["two_logits", "one_logit", "softmax", "sigmoid", "nhwc", "one_at_a_time", "open_sizes"]:
        given = image if name == "nhwc" else image.transpose(2, 0, 1)
        answer = onnxruntime.InferenceSession(str(OUT / f"{name}.onnx")).run(None, {"image": given[None]})[0][0]
        answer = answer.astype(float)
        if name in ["softmax", "sigmoid"]:
            fake = answer[-1]
        else:
            fake = 1 / (1 + np.exp(-(answer[-1] - (answer[0] if len(answer) == 2 else 0))))
        held[name] = float(fake)
    (HERE / "onnx_detectors.json").write_text(json.dumps(held) + "\n")
    print(held)


main()
