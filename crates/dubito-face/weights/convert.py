"""Convert the published MediaPipe face models (TensorFlow Lite) to safetensors, once.

    pip install tflite==2.18.0 numpy safetensors
    python convert.py ../../../../shared/weights

Each result holds the float16 weights as published, convolutions in [out, in / groups, kh, kw] order,
and in its metadata the network itself: `graph`, a JSON list of operations in the order they run. Every
operation writes the value named `out`; the image is the value `input`. What the operations are is
described where they are run, in `src/network.rs`.

    conv     in, out, weight, bias, stride, same (bool), depthwise (bool), act
    add      in, other, out, act     (`other` may have fewer channels: the missing ones are zero)
    maxpool  in, out                 (2 x 2, stride 2)
    upsample in, out                 (bilinear, half-pixel centres, to twice the size)

`act` is null, "relu", or the name of a PReLU's slope tensor. `outputs` lists, for each output of the model,
the values whose pixels follow one another in it. Anything else in a model is an error here
rather than a surprise there. `python convert.py DIR --describe` also prints the networks.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tflite
from safetensors.numpy import save_file

MODELS = {
    "face_detection_short_range": "short_range",
    "face_detection_full_range": "full_range",
    "face_landmark": "face_mesh",
}
NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
NUMPY = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.INT32: np.int32}


def options(op, cls):
    out = cls()
    table = op.BuiltinOptions()
    out.Init(table.Bytes, table.Pos)
    return out


def convert(path: Path, name: str, describe: bool) -> None:
    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    shape = lambda i: [int(n) for n in graph.Tensors(i).ShapeAsNumpy()]

    def constant(i):
        tensor = graph.Tensors(i)
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        return np.frombuffer(data.tobytes(), NUMPY[tensor.Type()]).reshape(shape(i))

    alias = {}  # a dequantised or reshaped tensor -> the tensor it came from
    joined = {}  # a concatenated output -> its parts
    padded = {}  # a channel-padded tensor -> the tensor before padding
    producer = {}  # value -> the operation that writes it
    ops, weights = [], {}
    source = lambda i: source(alias[i]) if i in alias else i
    value = lambda i: "input" if source(i) == int(graph.Inputs(0)) else f"v{source(i)}"

    def put(key, array):
        weights[key] = np.ascontiguousarray(array.astype(np.float16))
        return key

    def emit(op):
        producer[op["out"]] = op
        ops.append(op)

    def activate(i, out, act):
        op = producer[value(i)]
        users = sum(i in graph.Operators(k).InputsAsNumpy() for k in range(graph.OperatorsLength()))
        assert op["act"] is None and users == 1, "an activation must be its input's only reader"
        op["act"] = act
        alias[out] = i

    for k in range(graph.OperatorsLength()):
        op = graph.Operators(k)
        code = model.OperatorCodes(op.OpcodeIndex())
        kind = NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        ins = [int(i) for i in op.InputsAsNumpy()]
        out = int(op.Outputs(0))
        if kind in ("DEQUANTIZE", "RESHAPE"):
            alias[out] = ins[0]
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            depthwise = kind.startswith("DEPTH")
            o = options(op, tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
            assert o.StrideW() == o.StrideH() and o.DilationWFactor() == 1 and o.FusedActivationFunction() == 0
            kernel = constant(source(ins[1]))
            # [out, kh, kw, in], or depthwise [1, kh, kw, channels].
            kernel = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)
            key = f"conv{sum(x['op'] == 'conv' for x in ops)}"
            emit({"op": "conv", "in": value(ins[0]), "out": value(out), "weight": put(f"{key}.weight", kernel),
                  "bias": put(f"{key}.bias", constant(source(ins[2]))), "stride": o.StrideW(),
                  "same": o.Padding() == tflite.Padding.SAME, "depthwise": depthwise, "act": None})
        elif kind == "ADD":
            assert options(op, tflite.AddOptions).FusedActivationFunction() == 0
            wide, other = ins if ins[1] in padded else ins[::-1]
            if shape(wide) != shape(out) or wide in padded:
                wide, other = other, wide
            emit({"op": "add", "in": value(wide), "other": value(padded.get(other, other)), "out": value(out), "act": None})
        elif kind == "PAD":
            amounts = constant(ins[1])
            assert (amounts[:3] == 0).all() and amounts[3, 0] == 0, "only channels are padded, at their end"
            padded[out] = ins[0]
        elif kind == "RELU":
            activate(ins[0], out, "relu")
        elif kind == "PRELU":
            slope = constant(source(ins[1])).reshape(-1)
            activate(ins[0], out, put(producer[value(ins[0])]["out"] + ".slope", slope))
        elif kind == "MAX_POOL_2D":
            o = options(op, tflite.Pool2DOptions)
            assert o.FilterWidth() == o.FilterHeight() == o.StrideW() == o.StrideH() == 2
            assert shape(ins[0])[1] % 2 == 0
            emit({"op": "maxpool", "in": value(ins[0]), "out": value(out)})
        elif kind == "RESIZE_BILINEAR":
            o = options(op, tflite.ResizeBilinearOptions)
            assert o.HalfPixelCenters() and not o.AlignCorners() and shape(out)[1] == 2 * shape(ins[0])[1]
            emit({"op": "upsample", "in": value(ins[0]), "out": value(out)})
        elif kind == "CONCATENATION":
            joined[out] = ins  # only ever the outputs of several feature maps
        else:
            raise SystemExit(f"{path.name}: {kind} is not among the operations the networks use")

    # Each output is the concatenation of some maps, each read pixel by pixel (height, width, channels).
    outputs = [[value(part) for part in joined.get(int(i), [int(i)])] for i in graph.OutputsAsNumpy()]
    metadata = {
        "format": "dubito-face network 1",
        "source": f"{path.name}, Google MediaPipe, Apache-2.0",
        "input": json.dumps(shape(int(graph.Inputs(0)))),
        "outputs": json.dumps(outputs),
        "graph": json.dumps(ops),
    }
    target = Path(__file__).parent / f"{name}.safetensors"
    save_file(weights, target, metadata)
    print(f"{path.name} -> {target.name}: {len(ops)} operations, {sum(w.size for w in weights.values())} weights")
    if describe:
        print(*ops, outputs, sep="\n")


if __name__ == "__main__":
    for source_name, target_name in MODELS.items():
        convert(Path(sys.argv[1]) / f"{source_name}.tflite", target_name, "--describe" in sys.argv)
