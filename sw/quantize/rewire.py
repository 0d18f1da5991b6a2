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
    held = {i.name: i for i in graph.initializer}
    (clip,) = (node for node in graph.node if node.output[0] == name)
    limits = zip((*clip.input[1:], "", ""), (-np.inf, np.inf), strict=False)
    low, high = (numpy_helper.to_array(held[limit]).item() if limit else bound for limit, bound in limits)
    for node in graph.node:
        if name in node.input:
            if node.op_type != "QuantizeLinear":
                return False
            scale, zero_point = (numpy_helper.to_array(held[operand]) for operand in node.input[1:])
            integers = np.iinfo(zero_point.dtype)
            ends = quantize([low, high], scale, int(zero_point), integers.min, integers.max)
            if ends.tolist() != [integers.min, integers.max]:
                return False
    return True
