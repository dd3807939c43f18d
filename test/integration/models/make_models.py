#!/usr/bin/python3
"""Makes the small ONNX models of the worker's tests, beside this file. They are committed; this needs python3-onnx.

    make_models.py [--check]    --check: exit code 1 if a committed file differs from what would be made
"""

import pathlib
import sys

from onnx import TensorProto, checker, helper

HERE = pathlib.Path(__file__).resolve().parent
OPSETS = [helper.make_opsetid("", 14)]

TYPES = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16, "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE, "BYTES": TensorProto.STRING,
}
node, tensor = helper.make_node, helper.make_tensor_value_info


def model(name, nodes, inputs, outputs, initializer=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, initializer)
    made = helper.make_model(graph, ir_version=7, opset_imports=OPSETS, producer_name="berth")
    checker.check_model(made)
    return made.SerializeToString(deterministic=True)


def identity(datatype):
    """Gives back what it is given, of any two-dimensional shape."""
    element = TYPES[datatype]
    return model(datatype, [node("Identity", ["x"], ["y"])], [tensor("x", element, ["N", "M"])],
                 [tensor("y", element, ["N", "M"])])


def add():
    """Two inputs of a fixed width, two outputs."""
    return model("add", [node("Add", ["a", "b"], ["sum"]), node("Sub", ["a", "b"], ["difference"])],
                 [tensor("a", TensorProto.FLOAT, ["N", 3]), tensor("b", TensorProto.FLOAT, ["N", 3])],
                 [tensor("sum", TensorProto.FLOAT, ["N", 3]), tensor("difference", TensorProto.FLOAT, ["N", 3])])


def image():
    """The mean of each channel of an image: a small answer to a large tensor."""
    return model("image", [node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0)],
                 [tensor("image", TensorProto.FLOAT, [1, 3, 224, 224])], [tensor("mean", TensorProto.FLOAT, [1, 3])])


def slow():
    """Multiplies a 256 × 256 matrix with itself as often as it is told: a run of any length, which can be ended."""
    side = helper.make_tensor("side", TensorProto.INT64, [2], [256, 256])
    body = helper.make_graph(
        [node("MatMul", ["m", "m"], ["m_next"]), node("Identity", ["go_on"], ["go_on_next"])], "body",
        [tensor("i", TensorProto.INT64, []), tensor("go_on", TensorProto.BOOL, []),
         tensor("m", TensorProto.FLOAT, [256, 256])],
        [tensor("go_on_next", TensorProto.BOOL, []), tensor("m_next", TensorProto.FLOAT, [256, 256])])
    nodes = [
        node("ConstantOfShape", ["side"], ["start"]),
        node("Loop", ["times", "", "start"], ["end"], body=body),
        node("ReduceSum", ["end"], ["total"], keepdims=0),
    ]
    return model("slow", nodes, [tensor("times", TensorProto.INT64, [])], [tensor("total", TensorProto.FLOAT, [])],
                 [side])


def upper():
    """A text model that answers with a label of its own and no probabilities; its input is [N,1]."""
    return model("upper", [node("StringNormalizer", ["flat"], ["label"], case_change_action="UPPER", locale="C")],
                 [tensor("flat", TensorProto.STRING, [1])], [tensor("label", TensorProto.STRING, [1])])


def halves():
    """A text model with probabilities of type FP64, no label, and an input of [N,1]."""
    half = helper.make_tensor("half", TensorProto.DOUBLE, [1, 2], [0.25, 0.75])
    nodes = [node("Shape", ["text"], ["shape"]), node("Expand", ["half", "shape"], ["probabilities"])]
    return model("halves", nodes, [tensor("text", TensorProto.STRING, ["N", 1])],
                 [tensor("probabilities", TensorProto.DOUBLE, ["N", 2])], [half])


def parts():
    """An output that is a sequence beside one that is a tensor."""
    nodes = [node("SplitToSequence", ["x"], ["pieces"], axis=0), node("Identity", ["x"], ["y"])]
    pieces = helper.make_tensor_sequence_value_info("pieces", TensorProto.FLOAT, None)
    return model("parts", nodes, [tensor("x", TensorProto.FLOAT, ["N"])], [pieces, tensor("y", TensorProto.FLOAT, ["N"])])


def main():
    made = {f"identity_{name.lower()}.onnx": identity(name) for name in TYPES}
    made |= {f"{function.__name__}.onnx": function() for function in (add, image, slow, upper, halves, parts)}
    made["nonsense.onnx"] = b"This is no model, and it is not meant to be one.\n"
    different = [name for name, content in made.items()
                 if not (HERE / name).exists() or (HERE / name).read_bytes() != content]
    if "--check" in sys.argv[1:]:
        print("\n".join(f"{name} differs" for name in different))
        return 1 if different else 0
    for name in different:
        (HERE / name).write_bytes(made[name])
    print(f"{len(made)} models, {len(different)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
