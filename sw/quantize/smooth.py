"""Channels rescaled before quantization, as in SmoothQuant (Xiao et al., 2023): the float network computes the same.

Where a LayerNormalization, or a layer with weights, and the layers that read its channels have nothing between them that is not linear
channel by channel, channel c of the former is divided by a factor, by which the latter's weights for it are multiplied:

    factor = largest(c)^alpha / weight(c)^(1 - alpha)

largest(c): magnitude of what the layers read, over the samples. weight(c): largest magnitude of their weights for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ..frontend.movement import MOVES
from ..frontend.onnx_file import Node, OnnxModel
from ..frontend.readers import Readers
from ..frontend.values import Index
from .layers import Layer, layers_of

NORMS = {"LayerNormalization": (1, 2), "RMSNormalization": (1,)}  # the slots of factors and offsets
SCALING = {"Mul": 1, "Div": 0}  # the last slot of what is scaled by the other operand


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """A layer, and for each row of its weights the channel that it is multiplied with. axis: of these rows."""

    layer: Layer
    channels: Index
    axis: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Span:
    """From a node to the layers that read its ``count`` channels.

    written: the node and its constant operands' slots, and the Adds between them, with a channel for each element. fixed: channels that
    something else reads too.
    """

    count: int
    written: list[tuple[Node, int, Index]] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)


class Spans:
    """Follows channels through a network."""

    def __init__(self, model: OnnxModel, shapes: Mapping[str, tuple[int, ...]]):
        self.model, self.shapes, self.readers = model, shapes, Readers(model)
        self.layers = {layer.name: layer for layer in layers_of(model).values()}

    def all(self) -> list[Span]:
        found = [span for node in self.model.nodes if (span := self._from(node)) is not None]
        return [span for span in found if span.readers and len(span.fixed) < span.count]

    def _from(self, node: Node) -> Span | None:
        layer, out = self.layers.get(node.name), node.outputs[0]
        if out not in self.shapes:
            return None
        if node.op_type in NORMS:
            given = [slot for slot in NORMS[node.op_type] if slot < len(node.inputs) and node.inputs[slot]]
            arrays = [(slot, self.model.constants.get(node.inputs[slot]), -1) for slot in given]
        elif layer is not None and node.op_type in ("MatMul", "Gemm", "Conv"):
            bias = [(2, self.model.constants.get(name), 0) for name in node.inputs[2:] if name]
            arrays = [(1, layer.array, layer.axis), *bias]
        else:
            return None
        axis = 1 if node.op_type == "Conv" else -1
        shape = self.shapes[out]
        span = Span(count=shape[axis])
        for slot, array, along in arrays:
            if array is None or array.shape[along:][:1] != (span.count,):
                return None
            span.written.append((node, slot, _along(span.count, array.shape, along)))
        self._follow(out, _along(span.count, shape, axis), span)
        return span

    def _follow(self, name: str, channels: Index, span: Span) -> None:
        """channels: of each element of the tensor."""
        if name in self.model.outputs:
            span.fixed.update(np.unique(channels).tolist())
        for node, slot in self.readers.consumers.get(name, ()):
            try:
                self._read(node, slot, channels, span)
            except (ValueError, IndexError, KeyError):  # not linear, or of unknown shape
                span.fixed.update(np.unique(channels).tolist())

    def _read(self, node: Node, slot: int, channels: Index, span: Span) -> None:
        """Raises ValueError where the node is not linear channel by channel."""
        kind, constants = node.op_type, self.model.constants
        if kind in MOVES and slot == 0:
            for name, part in zip(node.outputs, MOVES[kind](node, self.readers.integers, channels), strict=True):
                self._follow(name, part, span)
            return
        others = [constants.get(other) for place, other in enumerate(node.inputs) if place != slot]
        if node.name in self.layers and slot == 0:
            span.readers.append(self._reader(self.layers[node.name], channels))
        elif kind == "Relu" or (slot <= SCALING.get(kind, -1) and others[0] is not None and others[0].size == 1):
            self._follow(node.outputs[0], channels, span)
        elif kind == "Add" and others[0] is not None:
            span.written.append((node, 1 - slot, _for_constant(channels, others[0])))
            self._follow(node.outputs[0], channels, span)
        elif kind == "MatMul" and slot == 1:  # what mixes its rows, as attention does values
            mixed = _same_rows(channels)[..., None, :]
            self._follow(node.outputs[0], np.broadcast_to(mixed, self.shapes[node.outputs[0]]), span)
        else:
            raise ValueError("it is something else")

    def _reader(self, layer: Layer, channels: Index) -> Reader:
        kind = layer.node.op_type
        if kind == "Conv" and layer.node.attributes.get("group", 1) == 1:
            rows, axis = _same_rows(np.moveaxis(channels, 1, -1).reshape(-1, channels.shape[1])), 1
        elif kind == "MatMul" or (kind == "Gemm" and not layer.node.attributes.get("transA", 0)):
            rows, axis = _same_rows(channels.reshape(-1, channels.shape[-1])), layer.array.ndim - 1 - layer.axis
            if layer.array.ndim != 2:
                raise ValueError("its weights are several matrices")
        else:
            raise ValueError("it is something else")
        return Reader(layer=layer, channels=rows, axis=axis)


def _along(count: int, shape: tuple[int, ...], axis: int) -> Index:
    line = np.arange(count).reshape([-1 if place == axis % len(shape) else 1 for place in range(len(shape))])
    return np.broadcast_to(line, shape)


def _same_rows(channels: Index) -> Index:
    """[..., C] of [..., R, C]. Raises ValueError unless all rows are the same."""
    if (channels != channels[..., :1, :]).any():
        raise ValueError("its rows have different channels")
    return channels[..., 0, :]


def _for_constant(channels: Index, constant: NDArray) -> Index:
    """The channel of each element of a constant that is added to what has these channels."""
    if constant.ndim > channels.ndim or np.broadcast_shapes(constant.shape, channels.shape) != channels.shape:
        raise ValueError("it has more elements than what it is added to")
    shape = (1,) * (channels.ndim - constant.ndim) + constant.shape
    found = channels[tuple(slice(0, size) for size in shape)]
    if (np.broadcast_to(found, channels.shape) != channels).any():
        raise ValueError("it has one element for several channels")
    return found.reshape(constant.shape)


def smoothed(proto: onnx.ModelProto, spans: Iterable[Span], largest: Mapping[str, NDArray], alpha: float) -> onnx.ModelProto:
    """A copy with rescaled channels. largest: by the name of what readers read, the magnitude of each of its channels."""
    out = onnx.ModelProto()
    out.CopyFrom(proto)
    nodes = {node.name: node for node in out.graph.node}
    arrays = {i.name: numpy_helper.to_array(i) for i in out.graph.initializer}

    def multiply(node: onnx.NodeProto, slot: int, by: NDArray[np.float64]) -> None:
        array = arrays[node.input[slot]]
        node.input[slot] = f"{node.name}.{slot}.smoothed"
        arrays[node.input[slot]] = (array * by).astype(array.dtype)

    for span in spans:
        weights = [np.moveaxis(arrays[nodes[r.layer.name].input[1]], r.axis, 0).reshape(len(r.channels), -1) for r in span.readers]
        factors = _factors(span, weights, largest, alpha)
        for node, slot, channels in span.written:
            multiply(nodes[node.name], slot, 1 / factors[channels])
        for reader in span.readers:
            shape = [-1 if axis == reader.axis else 1 for axis in range(reader.layer.array.ndim)]
            multiply(nodes[reader.layer.name], 1, factors[reader.channels].reshape(shape))
    used = {name for node in out.graph.node for name in node.input}
    del out.graph.initializer[:]
    out.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used)
    return out


def _factors(span: Span, weights: Iterable[NDArray], largest: Mapping[str, NDArray], alpha: float) -> NDArray[np.float64]:
    """[count], whose geometric mean is 1; 1 for what is fixed, or always 0, or read with weights that are 0. weights: [C, ...] of each
    reader."""
    read, weight = np.zeros(span.count), np.zeros(span.count)
    for reader, rows in zip(span.readers, weights, strict=True):
        np.maximum.at(weight, reader.channels, np.abs(rows).max(axis=1))
        np.maximum.at(read, reader.channels, largest[reader.layer.source])
    free = (read > 0) & (weight > 0)
    free[list(span.fixed)] = False
    logs = alpha * np.log(read[free]) - (1 - alpha) * np.log(weight[free])
    factors = np.ones(span.count)
    factors[free] = np.exp(logs - logs.mean()) if logs.size else 1
    return factors
