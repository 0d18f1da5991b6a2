"""Nodes that quantization makes needless leave the network."""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

from ..executor import quantize


def without(model: onnx.ModelProto, *, rounds: Collection[str], clips: Collection[str]) -> onnx.ModelProto:
    """The model without the Rounds and Clips of these results. Of the Rounds the operands are whole numbers already; a Clip goes only
    where all that reads it is a QuantizeLinear that saturates within its limits. Changes ``model``."""
    graph = model.graph
    clips = [name for name in clips if _saturates(graph, name)]
    given = {node.output[0]: node.input[0] for node in graph.node if node.output[0] in {*rounds, *clips}}
    kept = [node for node in graph.node if node.output[0] not in given]
    for node in kept:
        node.input[:] = [_origin(name, given) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)
    return model


def _origin(name: str, given: dict[str, str]) -> str:
    while name in given:
        name = given[name]
    return name


def _saturates(graph: onnx.GraphProto, name: str) -> bool:
    """Whether what reads the Clip's result quantizes its limits to the lowest and the highest integer."""
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    (clip,) = (node for node in graph.node if node.output[0] == name)
    low, high = (
        arrays[limit].item() if limit else bound for limit, bound in zip((*clip.input[1:], "", ""), (-np.inf, np.inf), strict=False)
    )
    for node in graph.node:
        if name in node.input:
            if node.op_type != "QuantizeLinear":
                return False
            scale, zero_point = (arrays[operand] for operand in node.input[1:])
            limits = np.iinfo(zero_point.dtype)
            ends = quantize([low, high], scale, int(zero_point), limits.min, limits.max)
            if ends.tolist() != [limits.min, limits.max]:
                return False
    return True
