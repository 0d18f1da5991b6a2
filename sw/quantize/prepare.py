"""What is done to a float network before it is quantized: the numbers that it computes stay the same but for rounding."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..frontend.movement import MOVES
from ..frontend.onnx_file import OnnxModel
from .wide import NORMS

QUANTIZED = "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"
LAYERS = {"MatMul", "Gemm"}
FOLDABLE = {"Conv": 2, "DeformConv": 3}  # the slot of their bias; the first axis of their weights is that of the results


def refuse_quantized(model: OnnxModel) -> None:
    """Raises ValueError where the network is quantized already."""
    for node in model.nodes:
        if node.op_type in QUANTIZED or node.op_type.startswith("QLinear"):
            raise ValueError(f"{node.title}: the network is quantized already")


def prepared(proto: onnx.ModelProto, model: OnnxModel) -> onnx.ModelProto:
    """A copy whose nodes all have their own names, whose constants are initializers, and where no convolution is followed by its batch
    normalization, and no sum reads the same LayerNormalization as a layer. model: the same network."""
    out = onnx.ModelProto()
    out.CopyFrom(proto)
    graph = out.graph
    held = {i.name for i in graph.initializer}
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in model.constants.items() if name not in held)
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    taken = set[str]()
    for node in nodes:
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}.{node.output[0]}"  # no other node has this output
        taken.add(node.name)
    nodes = [node for node in nodes if not (node.op_type == "BatchNormalization" and _folded(node, nodes, graph))]
    nodes = [part for node in nodes for part in _parted(node, nodes)]
    used = {name for node in nodes for name in node.input}
    initializers = [i for i in graph.initializer if i.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    return out


def _parted(norm: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Of a normalization that layers read as well as sums, as those behind a sum: it, and a copy for the layers, which take no int16."""

    def readers(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        return [other for other in nodes if set(node.output) & set(other.input)]

    def is_for_layers(node: onnx.NodeProto) -> bool:
        behind = readers(node) if node.op_type in MOVES else []
        return node.op_type in LAYERS or (bool(behind) and all(map(is_for_layers, behind)))

    found = readers(norm) if norm.op_type in NORMS else []
    layers = list(filter(is_for_layers, found))
    if not layers or not any(node.op_type == "Add" for node in found):
        return [norm]
    copy = onnx.NodeProto()
    copy.CopyFrom(norm)
    copy.name, copy.output[0] = f"{norm.name}.read", f"{norm.output[0]}.read"
    for node in layers:
        node.input[:] = [copy.output[0] if name == norm.output[0] else name for name in node.input]
    return [norm, copy]


def _folded(norm: onnx.NodeProto, nodes: list[onnx.NodeProto], graph: onnx.GraphProto) -> bool:
    """Whether the normalization became part of the convolution before it."""
    source = norm.input[0]
    conv = next((node for node in nodes if source in node.output), None)
    arrays = {i.name: i for i in graph.initializer}
    alone = sum(source in node.input for node in nodes) == 1 and source not in {output.name for output in graph.output}
    if conv is None or conv.op_type not in FOLDABLE or not alone or not {conv.input[1], *norm.input[1:5]} <= set(arrays):
        return False
    slot = FOLDABLE[conv.op_type]
    bias = conv.input[slot] if len(conv.input) > slot else ""
    if bias and bias not in arrays:
        return False
    scale, shift, mean, variance = (numpy_helper.to_array(arrays[name]).astype(np.float64) for name in norm.input[1:5])
    epsilon = next((helper.get_attribute_value(a) for a in norm.attribute if a.name == "epsilon"), 1e-5)
    weights = numpy_helper.to_array(arrays[conv.input[1]])
    factor = scale / np.sqrt(variance + epsilon)
    before = numpy_helper.to_array(arrays[bias]) if bias else 0.0
    made = {"weight": weights * factor.reshape(-1, *[1] * (weights.ndim - 1)), "bias": (before - mean) * factor + shift}
    for part, array in made.items():
        graph.initializer.append(numpy_helper.from_array(array.astype(weights.dtype), f"{norm.name}.{part}"))
    conv.input.extend([""] * (slot + 1 - len(conv.input)))
    conv.input[1], conv.input[slot] = (f"{norm.name}.{part}" for part in made)
    conv.output[0] = norm.output[0]
    return True
