"""Makes the ONNX files of onnx.toml: hostile ones, and detectors whose graph says P(fake) = .018 in many ways.

    pip install onnx numpy
    python make.py
"""

import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node = helper.make_node


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def floats(name, values):
    return numpy_helper.from_array(np.array(values, np.float32), name)


def save(name, nodes, weights=(), shape=("batch", 3, 32, 32), outputs=(("y", FLOAT, None),), opset=17, metadata=None, inputs=None):
    given = inputs or [helper.make_tensor_value_info("x", FLOAT, shape)]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info(*output) for output in outputs], list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="by script")
    model.ir_version = 8
    helper.set_model_props(model, metadata or {})
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


def head(x="x"):
    """Two numbers from whatever there is."""
    return [node("GlobalAveragePool", [x], ["p"]), node("Flatten", ["p"], ["f"]), node("MatMul", ["f", "w"], ["y"])]


W = floats("w", np.ones((3, 2)))


def hostile():
    save("tile", [node("Tile", ["x", "r"], ["t"]), *head("t")], [W, ints("r", 1, 1, 30000, 30000)])
    save("expand", [node("Expand", ["x", "r"], ["t"]), *head("t")], [W, ints("r", 100000, 3, 32, 32)])
    save("pad", [node("Pad", ["x", "r"], ["t"]), *head("t")], [W, ints("r", 0, 0, 0, 0, 0, 0, 10**9, 10**9)])
    save("pad_least", [node("Pad", ["x", "r"], ["t"]), *head("t")], [W, ints("r", 0, 0, 0, 0, 0, 0, -2**63, 0)])
    save("fill", [node("ConstantOfShape", ["r"], ["c"]), node("ReduceSum", ["c"], ["s"], keepdims=0), *head(), ][:2]
         + [node("Add", ["x", "s"], ["a"]), *head("a")], [W, ints("r", 100000, 100000)])
    save("batch", head(), [W], shape=(100000, 3, 32, 32))
    save("strides", [node("Conv", ["x", "k"], ["c"], kernel_shape=[1, 1], strides=[0, 0]), *head("c")], [W, floats("k", np.ones((3, 3, 1, 1)))])
    save("group", [node("Conv", ["x", "k"], ["c"], kernel_shape=[1, 1], group=0), *head("c")], [W, floats("k", np.ones((3, 3, 1, 1)))])
    save("sizes", [node("Resize", ["x", "", "", "r"], ["t"]), *head("t")], [W, ints("r", 1, 3, 2**20, 2**20)])
    save("range", [node("Range", ["a", "b", "c"], ["r"]), node("ReduceSum", ["r"], ["s"], keepdims=0), node("Add", ["x", "s"], ["t"]), *head("t")],
         [W, numpy_helper.from_array(np.array(0.0, np.float32), "a"), numpy_helper.from_array(np.array(1e12, np.float32), "b"), numpy_helper.from_array(np.array(1.0, np.float32), "c")])
    save("outer", [node("Flatten", ["x"], ["a"]), node("Reshape", ["a", "r"], ["b"]), node("Tile", ["b", "t"], ["c"]), node("Transpose", ["c"], ["d"]), node("MatMul", ["c", "d"], ["e"]),
                   node("ReduceSum", ["e"], ["s"], keepdims=0), node("Add", ["x", "s"], ["u"]), *head("u")], [W, ints("r", -1, 1), ints("t", 100, 1)])
    doubled = [node("Concat", ["x" if i == 0 else f"c{i - 1}"] * 2, [f"c{i}"], axis=2) for i in range(34)]
    save("doubled", [*doubled, *head("c33")], [W])
    # The size of the input is known only when it runs.
    late = [node("Add", ["x", "ten"], ["h"]), node("NonZero", ["h"], ["n"]), node("Cast", ["n"], ["m"], to=FLOAT)]
    doubled = [node("Concat", ["m" if i == 0 else f"c{i - 1}"] * 2, [f"c{i}"], axis=1) for i in range(34)]
    save("doubled_late", [*late, *doubled, node("ReduceMean", ["c33"], ["s"], keepdims=0), node("Add", ["x", "s"], ["u"]), *head("u")], [W, floats("ten", [10.0])])

    def body(name, *nodes):
        value = helper.make_tensor_value_info
        return helper.make_graph([node("Identity", ["ci"], ["co"]), *nodes, node("Identity", ["vi"], ["vo"])], name,
                                 [value("it", INT64, []), value("ci", BOOL, []), value("vi", FLOAT, None)], [value("co", BOOL, []), value("vo", FLOAT, None)])

    yes = numpy_helper.from_array(np.array(True), "yes")
    count = lambda n: numpy_helper.from_array(np.array(n, np.int64), "m")
    save("loop", [node("Loop", ["m", "yes", "x"], ["r"], body=body("b")), *head("r")], [W, count(2**62), yes])
    save("loop_open", [node("Loop", ["", "yes", "x"], ["r"], body=body("b")), *head("r")], [W, yes])
    save("loop_computed", [node("Size", ["x"], ["n"]), node("Mul", ["n", "m"], ["k"]), node("Loop", ["k", "yes", "x"], ["r"], body=body("b")), *head("r")], [W, count(10**12), yes])
    # Without a name, where an input that is left out has none.
    unnamed = count(1)
    unnamed.name = ""
    save("loop_unnamed", [node("Loop", ["", "yes", "x"], ["r"], body=body("b")), *head("r")], [W, unnamed, yes])
    small = helper.make_graph([node("Identity", ["x"], ["z"])], "deep", [], [helper.make_tensor_value_info("z", FLOAT, None)])
    for _ in range(12):
        small = helper.make_graph([node("If", ["yes"], ["z"], then_branch=small, else_branch=helper.make_graph([node("Identity", ["x"], ["z"])], "e", [], [helper.make_tensor_value_info("z", FLOAT, None)]))],
                                  "deep", [], [helper.make_tensor_value_info("z", FLOAT, None)])
    save("nested", [*small.node, *head("z")], [W, yes])
    broken = floats("w", np.ones((3, 2)))
    broken.dims[0] = 2**40
    save("dims", head(), [broken])
    broken.dims[0] = -3
    save("dims_below", head(), [broken])
    empty = TensorProto(name="w", data_type=FLOAT, dims=[3, 2])
    save("empty", head(), [empty])
    save("texts", head(), [helper.make_tensor("w", TensorProto.STRING, [3, 2], [b"a"] * 6)])
    save("nan", head(), [floats("w", np.full((3, 2), np.nan))])
    save("circle", [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), *head("b")], [W])
    save("dangling", [node("Add", ["x", "nowhere"], ["a"]), *head("a")], [W])
    save("no_node", head()[:2], [W])
    save("twice", [*head(), node("Relu", ["x"], ["p"])], [W])
    outside = TensorProto(name="w", data_type=FLOAT, dims=[3, 2], data_location=TensorProto.EXTERNAL)
    for name, location in [("outside", "../weights.bin"), ("absolute", "/etc/passwd"), ("absent", "absent.onnx_data"), ("beside", "beside.onnx_data")]:
        del outside.external_data[:]
        for key, value in [("location", location), ("offset", "0"), ("length", "24")]:
            entry = outside.external_data.add()
            entry.key, entry.value = key, value
        save(name, head(), [outside])
    (HERE / "beside.onnx_data").write_bytes(np.array([0, 1, 0, -2, 0, 1], np.float32).tobytes())
    outside.external_data[0].value = "nan_beside.onnx_data"
    save("nan_beside", head(), [outside])
    # The same in a graph within the graph.
    inner = lambda name: helper.make_graph([*head()[:2], node("MatMul", ["f", "w"], [name])], name, [], [helper.make_tensor_value_info(name, FLOAT, None)], [outside])
    save("nan_in_if", [node("If", ["yes"], ["y"], then_branch=inner("yt"), else_branch=inner("ye"))], [yes])
    (HERE / "nan_beside.onnx_data").write_bytes(np.array([0, 1, np.nan, -2, 0, 1], np.float32).tobytes())
    # Shapes of as many dimensions as nobody has.
    ranks = [node("Gather", ["i" if i == 0 else f"g{i - 1}"] * 2, [f"g{i}"]) for i in range(30)]
    whole = [node("ReduceSum", ["g29"], ["h"], keepdims=0), node("Cast", ["h"], ["s"], to=FLOAT), node("Add", ["x", "s"], ["u"]), *head("u")]
    save("gather_rank", [*ranks, *whole], [W, numpy_helper.from_array(np.zeros((1, 1), np.int64), "i")])
    save("unsqueeze_rank", [node("Unsqueeze", ["x"], ["t"], axes=list(range(4, 1004))), node("ReduceSum", ["t"], ["s"], keepdims=0), node("Add", ["x", "s"], ["u"]), *head("u")], [W], opset=11)
    save("weight_rank", head(), [W, floats("v", np.ones([1] * 17))])
    # A kernel of 2^63 - 1 in a weight without numbers.
    kernel = TensorProto(name="k", data_type=FLOAT, dims=[0, 3, 2**63 - 1, 1])
    for op in ["Conv", "ConvTranspose"]:
        save(f"reach_{op.lower()}", [node(op, ["x", "k"], ["c"], dilations=[4, 1]), *head("c")], [W, kernel])
    # Halves that are no numbers, as bits in a list of integers.
    save("nan_half", [node("Cast", ["v"], ["w"], to=FLOAT), *head()], [TensorProto(name="v", data_type=TensorProto.FLOAT16, dims=[3, 2], int32_data=[0x3C00] * 5 + [0x7E00])])
    save("double_input", [node("Cast", ["x"], ["c"], to=FLOAT), *head("c")], [W], inputs=[helper.make_tensor_value_info("x", TensorProto.UINT8, ("batch", 3, 32, 32))])


def said():
    """P(fake) = .018 (class 1) whatever the picture is."""
    two = [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["f"]), node("Gemm", ["f", "w", "b"], ["z"])]
    weights = [floats("w", np.zeros((3, 2))), floats("b", [2, -2])]
    soft = [*two, node("Softmax", ["z"], ["q"], axis=1)]
    one = [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["f"]), node("Gemm", ["f", "w", "b"], ["z"])]
    single = [floats("w", np.zeros((3, 1))), floats("b", [-4])]
    sigmoid = [*one, node("Sigmoid", ["z"], ["q"])]
    c = lambda name, value: floats(name, value)
    for name, nodes, more in [
        ("cast", [node("Cast", ["q"], ["y"], to=FLOAT)], []),
        ("squeeze", [node("Gather", ["q", "i"], ["g"], axis=1), node("Squeeze", ["g", "i"], ["y"])], [ints("i", 1)]),
        ("identity", [node("Identity", ["q"], ["r"]), node("Identity", ["r"], ["y"])], []),
        ("split", [node("Split", ["q"], ["r", "y"], axis=1)], []),
        ("times_one", [node("Mul", ["q", "one"], ["r"]), node("Add", ["r", "zero"], ["y"])], [c("one", [1.0]), c("zero", [0.0])]),
        ("mean", [node("Unsqueeze", ["q", "a"], ["r"]), node("ReduceMean", ["r"], ["y"], axes=[0], keepdims=0)], [ints("a", 0)]),
        ("reshape", [node("Reshape", ["q", "s"], ["y"])], [ints("s", -1, 1, 1, 2)]),
        ("transpose", [node("Transpose", ["q"], ["r"], perm=[1, 0]), node("Transpose", ["r"], ["y"], perm=[1, 0])], []),
        ("turned", [node("Gather", ["q", "i"], ["g"], axis=1), node("Sub", ["one", "g"], ["y"])], [ints("i", 0), c("one", [1.0])]),
        # Not to be told, or seen only in the numbers.
        ("percent", [node("Mul", ["q", "hundred"], ["y"])], [c("hundred", [100.0])]),
        ("matmul", [node("MatMul", ["q", "pick"], ["y"])], [c("pick", [[0.0], [1.0]])]),
        ("largest", [node("ReduceMax", ["q"], ["y"], axes=[1])], []),
        ("decided", [node("ArgMax", ["q"], ["r"], axis=1), node("Cast", ["r"], ["y"], to=FLOAT)], []),
    ]:
        drop = [output for output in [nodes[-1].output[-1]] if output != "y"]
        assert not drop, name
        save(f"softmax_{name}", [*soft, *nodes], [*weights, *more])
    save("log_softmax", [*two, node("LogSoftmax", ["z"], ["y"], axis=1)], weights)
    save("log_softmax_column", [*two, node("LogSoftmax", ["z"], ["q"], axis=1), node("Gather", ["q", "i"], ["y"], axis=1)], [*weights, ints("i", 1)])
    save("sigmoid_pair", [*sigmoid, node("Sub", ["one", "q"], ["r"]), node("Concat", ["r", "q"], ["y"], axis=1)], [*single, c("one", [1.0])])
    save("written_sigmoid", [*one, node("Neg", ["z"], ["n"]), node("Exp", ["n"], ["e"]), node("Add", ["e", "one"], ["d"]), node("Div", ["one", "d"], ["y"])], [*single, c("one", [1.0])])
    save("written_softmax", [*two, node("Exp", ["z"], ["e"]), node("ReduceSum", ["e", "a"], ["s"], keepdims=1), node("Div", ["e", "s"], ["y"])], [*weights, ints("a", 1)])
    save("hard_sigmoid", [*one, node("HardSigmoid", ["z"], ["y"], alpha=0.2, beta=0.818)], single)
    save("flat", [*sigmoid, node("Reshape", ["q", "s"], ["y"])], [*single, ints("s", -1)])
    save("scalar", [*sigmoid, node("Squeeze", ["q"], ["y"])], single)
    # A head that was trained to give 0 or 1 without a Sigmoid: nothing in the graph says what it gives.
    save("bare", one[:2] + [node("Gemm", ["f", "w", "b"], ["y"])], [floats("w", np.zeros((3, 1))), floats("b", [0.018])])
    save("tanh", [*one, node("Tanh", ["z"], ["y"])], single)
    save("two_sigmoids", [*two, node("Sigmoid", ["z"], ["y"])], [floats("w", np.zeros((3, 2))), floats("b", [1, 1])])
    # Classes the other way round.
    names = {"names": "{0: 'fake', 1: 'real'}"}
    turned = [floats("w", np.zeros((3, 2))), floats("b", [-2, 2])]
    plain = two[:2] + [node("Gemm", ["f", "w", "b"], ["y"])]
    save("fake_first", plain, turned, metadata=names)
    save("fake_first_column", [*two, node("Softmax", ["z"], ["q"], axis=1), node("Gather", ["q", "i"], ["y"], axis=1)], [*turned, ints("i", 0)], metadata=names)
    save("fake_first_sigmoid", one[:2] + [node("Gemm", ["f", "w", "b"], ["z"]), node("Sigmoid", ["z"], ["y"])], [single[0], floats("b", [4])], metadata={"labels": json.dumps({"0": "Fake", "1": "Real"})})
    save("contradiction", plain, turned, metadata={**names, "labels": "real,fake"})
    save("p_real", one[:2] + [node("Gemm", ["f", "w", "b"], ["z"]), node("Sigmoid", ["z"], ["p_real"])], [single[0], floats("b", [4])], outputs=[("p_real", FLOAT, None)])
    save("unsaid", plain, weights)
    # A logit is chosen, or turned round, before the Sigmoid.
    column = [node("Gather", ["z", "i"], ["g"], axis=1)]
    first = [floats("w", np.zeros((3, 2))), floats("b", [-4, 4]), ints("i", 0)]
    save("fake_first_logit", [*two, *column, node("Sigmoid", ["g"], ["y"])], first, metadata=names)
    save("fake_first_hard", [*two, node("Slice", ["z", "i", "j", "j"], ["g"]), node("HardSigmoid", ["g"], ["y"], alpha=0.1205, beta=0.5)], [*first, ints("j", 1)], metadata=names)
    save("logit_first", [*two, *column, node("Sigmoid", ["g"], ["y"])], first)
    save("logit_softmax", [*two, *column, node("Softmax", ["g"], ["y"], axis=1)], first)
    save("logit_difference", [*two, node("Split", ["z"], ["a", "c"], axis=1), node("Sub", ["a", "c"], ["d"]), node("Sigmoid", ["d"], ["y"])], weights)
    real_first = {"names": "{0: 'real', 1: 'fake'}"}
    for name, nodes, more in [
        ("negated", [node("Neg", ["z"], ["n"]), node("Sigmoid", ["n"], ["y"])], []),
        ("times_minus_one", [node("Mul", ["minus", "z"], ["n"]), node("Sigmoid", ["n"], ["y"])], [c("minus", [-1.0])]),
        ("subtracted", [node("Sub", ["zero", "z"], ["n"]), node("Sigmoid", ["n"], ["y"])], [c("zero", [0.0])]),
        ("over_minus_one", [node("Div", ["z", "minus"], ["n"]), node("Sigmoid", ["n"], ["y"])], [c("minus", [-1.0])]),
        ("written", [node("Exp", ["z"], ["e"]), node("Add", ["e", "one"], ["d"]), node("Div", ["one", "d"], ["y"])], [c("one", [1.0])]),
        ("reciprocal", [node("Exp", ["z"], ["e"]), node("Add", ["one", "e"], ["d"]), node("Reciprocal", ["d"], ["y"])], [c("one", [1.0])]),
    ]:
        save(f"logit_{name}", [*one, *nodes], [*single, *more], metadata=real_first)
    save("logit_turned", [*one, node("Neg", ["z"], ["y"])], single)
    save("logit_by_signs", [*two, node("Mul", ["z", "signs"], ["n"]), node("Softmax", ["n"], ["y"], axis=1)], [*weights, c("signs", [[1.0, -1.0]])])
    save("written_softmax_shifted", [*two, node("ReduceMax", ["z"], ["m"], axes=[1], keepdims=1), node("Sub", ["z", "m"], ["n"]), node("Exp", ["n"], ["e"]), node("ReduceSum", ["e", "a"], ["s"], keepdims=1), node("Div", ["e", "s"], ["y"])], [*weights, ints("a", 1)])
    # Probabilities side by side and together.
    parts = [*soft, node("Split", ["q"], ["a", "c"], axis=1)]
    save("softmax_first", [*soft, node("Gather", ["q", "i"], ["y"], axis=1)], [*weights, ints("i", 0)])
    save("softmax_swapped", [*parts, node("Concat", ["c", "a"], ["y"], axis=1)], weights)
    save("softmax_rejoined", [*parts, node("Concat", ["a", "c"], ["y"], axis=1)], weights)
    save("softmax_doubled", [*soft, node("Concat", ["q", "q"], ["d"], axis=1), node("Gather", ["d", "i"], ["y"], axis=1)], [*weights, ints("i", 2)])
    less = [*sigmoid, node("Sub", ["one", "q"], ["r"])]
    save("sigmoid_swapped", [*less, node("Concat", ["q", "r"], ["y"], axis=1)], [*single, c("one", [1.0])])
    save("mean_turned", [*less, node("Mean", ["q", "r"], ["y"])], [*single, c("one", [1.0])])
    save("max_turned", [*less, node("Max", ["r", "q"], ["y"])], [*single, c("one", [1.0])])
    save("mean_same", [*sigmoid, node("Identity", ["q"], ["r"]), node("Mean", ["q", "r"], ["y"])], single)
    # The axis of the classes is the first one.
    pick = node("Gather", ["t", "i"], ["y"], axis=0)
    save("fake_first_transposed", [*soft, node("Transpose", ["q"], ["t"], perm=[1, 0]), pick], [*turned, ints("i", 0)], metadata=names)
    save("softmax_reshaped_column", [*soft, node("Reshape", ["q", "s"], ["t"]), pick], [*weights, ints("s", 2, -1), ints("i", 0)])
    save("softmax_squeezed_column", [*soft, node("Unsqueeze", ["q", "u"], ["v"]), node("Squeeze", ["v", "n"], ["t"]), pick], [*weights, ints("u", 2, 3), ints("n", 0), ints("i", 0)])
    stacked = [node("Squeeze", ["r", "u"], ["a"]), node("Squeeze", ["q", "u"], ["c"]), node("Unsqueeze", ["a", "n"], ["a1"]), node("Unsqueeze", ["c", "n"], ["c1"]), node("Concat", ["a1", "c1"], ["k"], axis=0)]
    save("sigmoid_stacked", [*less, *stacked, node("Transpose", ["k"], ["t"]), node("Gather", ["t", "u"], ["y"], axis=1)], [*single, c("one", [1.0]), ints("u", 1), ints("n", 0)])
    # What keeps probabilities takes sizes that are computed.
    save("softmax_view", [*soft, node("Shape", ["x"], ["sx"]), node("Gather", ["sx", "nought"], ["n"], axis=0), node("Concat", ["n", "minus"], ["s"], axis=0), node("Reshape", ["q", "s"], ["y"])], [*weights, ints("nought", 0), ints("minus", -1)])
    value = helper.make_tensor_value_info
    branch = lambda name, op: helper.make_graph([node(op, ["z"], [name])], name, [], [value(name, FLOAT, None)])
    save("if_constant", [*one, node("If", ["yes"], ["k"], then_branch=branch("kt", "Neg"), else_branch=branch("ke", "Identity")), node("Sigmoid", ["k"], ["y"])], [*single, numpy_helper.from_array(np.array(True), "yes")])
    save("log_of_softmax", [*soft, node("Log", ["q"], ["y"])], [weights[0], floats("b", [200, -200])])
    # Halves, raw and as a list of integers.
    for name, ones in [("raw", numpy_helper.from_array(np.ones(1, np.float16), "one")), ("typed", TensorProto(name="one", data_type=TensorProto.FLOAT16, dims=[1], int32_data=[0x3C00]))]:
        save(f"half_{name}", [*sigmoid, node("Cast", ["q"], ["h"], to=TensorProto.FLOAT16), node("Sub", ["one", "h"], ["r"]), node("Cast", ["r"], ["y"], to=FLOAT)], [*single, ones])
    # Several outputs.
    save("two_outputs", [*soft, node("Identity", ["z"], ["logits"])], weights, outputs=[("q", FLOAT, None), ("logits", FLOAT, None)])
    save("features_first", [*soft], weights, outputs=[("f", FLOAT, None), ("q", FLOAT, None)])
    save("named_outputs", [*soft, node("Split", ["q"], ["real", "fake"], axis=1)], weights, outputs=[("real", FLOAT, None), ("fake", FLOAT, None)])
    save("three", two[:2] + [node("Gemm", ["f", "w", "b"], ["y"])], [floats("w", np.zeros((3, 3))), floats("b", [0, 1, 2])])


hostile()
said()
(HERE / "percent.json").write_text('{"output": "probability"}\n')
