"""ONNX graphs as others write them, made with onnx.helper."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR = {7: 3, 9: 4, 12: 6, 13: 7, 17: 8, 21: 10}  # of the years of these opsets


def as_tensor(array, name, way="raw"):
    """way: "raw", as bytes, or "field", as a list of numbers."""
    array = np.asarray(array)
    if way == "raw":
        return numpy_helper.from_array(array, name)
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor(name, kind, array.shape, array.ravel().tolist())


def as_model(nodes, constants, shape, opset=13, outputs=("y",), kind=TensorProto.FLOAT, **more):
    """A model of nodes that read x, (n, C, H, W) of that shape."""
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    if IR[opset] < 4:  # then initializers are inputs, too
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in constants]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "net", inputs, given, constants)
    ids = [helper.make_opsetid("", opset), helper.make_opsetid("ai.mine", 1)]
    model = helper.make_model(graph, opset_imports=ids, ir_version=IR[opset], **more)
    return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """What onnxruntime says."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def rows_worked_out(value, opset):
    """Nodes and constants for x.view(x.size(0), -1), as PyTorch's exporter writes it."""
    axes = {"axes": (0,)} if opset < 13 else {}
    nodes = [
        helper.make_node("Shape", [value], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n"] if axes else ["n", "axis"], ["ns"], **axes),
        helper.make_node("Concat", ["ns", "rest"], ["rows"], axis=0),
    ]
    numbers = {"first": np.int64(0), "axis": np.array([0]), "rest": np.array([-1])}
    return nodes, [as_tensor(number, name) for name, number in numbers.items()]


def caffes(
    opset=12,
    side=227,
    maps=(96, 256, 384, 384, 256),
    units=(4096, 4096, 1000),
    norm_first=True,
    softmax=True,
    way="raw",
    as_nodes=False,
    rows=True,
    seed=0,
):
    """Caffe's AlexNet as the model zoo has it: groups, LRN, Dropout with its mask, Softmax.

    norm_first: LRN before the pool (bvlc_alexnet), or behind it (caffenet)
    way, as_nodes: how the constants are kept: as_tensor's, initializers or nodes
    rows: are the rows' sizes said, or worked out?
    """
    rng = np.random.default_rng(seed)
    nodes, constants, value, (channels, size) = [], [], "x", (3, side)

    def constant(name, array):
        tensor = as_tensor(np.asarray(array), name, way)
        if as_nodes:
            nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            constants.append(tensor)
        return name

    def weights(number, *shape):
        weight = rng.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]) / 2)
        bias = rng.standard_normal(shape[0], np.float32) / 10
        return constant(f"w{number}", weight.astype(np.float32)), constant(f"b{number}", bias)

    def add(kind, *inputs, outputs=1, **attributes):
        nonlocal value
        names = [f"{kind}_{len(nodes)}_{i}" for i in range(outputs)]
        nodes.append(helper.make_node(kind, [value, *inputs], names, **attributes))
        value = names[0]

    def norm():
        add("LRN", size=5, alpha=1e-4, beta=0.75, bias=1.0)

    def pool():
        """Caffe rounds up: zeros, of which there is a row, never win behind a ReLU."""
        nonlocal size
        more = (size - 3) % 2
        add("MaxPool", kernel_shape=(3, 3), strides=(2, 2), pads=(0, 0, more, more))
        size = (size + more - 3) // 2 + 1

    kernels = ((11, 4, 0, 1), (5, 1, 2, 2), (3, 1, 1, 1), (3, 1, 1, 2), (3, 1, 1, 2))
    for number, (kernel, stride, pad, group) in enumerate(kernels, 1):
        inputs = weights(number, maps[number - 1], channels // group, kernel, kernel)
        options = {"kernel_shape": (kernel,) * 2, "strides": (stride,) * 2, "pads": (pad,) * 4}
        add("Conv", *inputs, group=group, **options)
        channels, size = maps[number - 1], (size + 2 * pad - kernel) // stride + 1
        add("Relu")
        if number < 3:
            for step in (norm, pool) if norm_first else (pool, norm):
                step()
    pool()
    features = channels * size * size
    if rows:
        constant("rows", np.array([1, features], np.int64))
    else:
        for found, more in zip((nodes, constants), rows_worked_out(value, opset), strict=True):
            found += more
    add("Reshape", "rows")
    for number, width in enumerate(units, 6):
        add("Gemm", *weights(number, width, features), transB=1)
        features = width
        if number < 8:
            add("Relu")
            if opset < 12:
                add("Dropout", outputs=2, ratio=0.5)
            else:
                add("Dropout", constant(f"ratio{number}", np.float32(0.5)), outputs=2)
    if softmax:
        add("Softmax", axis=1)
    nodes[-1].output[0] = "y"
    return as_model(nodes, constants, (1, 3, side, side), opset)
