"""Weights of 4 bits: integers and scales of the least squared error, in place of the int8 ones of a QDQ network."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ...rtl.arch.formats import MAX_FACTOR, Format
from .layers import Layer

INT4 = Format.of("int4")
RATIOS = np.linspace(0.5, 1.1, 61)  # tried scales, of the one at which 7 is the largest magnitude


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """Of a layer, as the matrix ``integers * scale``. integers: int8 [K, N], -8..7. scale: [G, N], of G equal groups of k."""

    integers: NDArray[np.int8]
    scale: NDArray[np.float32]

    @property
    def matrix(self) -> NDArray[np.float32]:
        return self.integers * np.repeat(self.scale, len(self.integers) // len(self.scale), axis=0)


def of_four_bits(layer: Layer, importance: NDArray, group: int) -> Weights:
    """importance: [K], what a squared error of each row costs. group: rows with a scale of their own; K where that does not divide it, or
    the layer takes no groups."""
    matrix = layer.matrix.astype(np.float64)
    k, n = matrix.shape
    groups = groups_of(layer, group)
    rows, cost = matrix.reshape(groups, -1, n), importance.reshape(groups, -1, 1)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    largest[largest == 0] = 1
    best, least = np.zeros((groups, 1, n)), np.full((groups, 1, n), np.inf)
    for ratio in RATIOS:
        scale = largest * ratio / INT4.max
        error = (np.square(_rounded(rows, scale) * scale - rows) * cost).sum(axis=1, keepdims=True)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    scale = _as_factors(best)
    return Weights(integers=_rounded(rows, scale).reshape(k, n).astype(np.int8), scale=scale.reshape(groups, n).astype(np.float32))


def groups_of(layer: Layer, group: int) -> int:
    """How many groups of so many rows the layer has; 1 where it takes none, or 0 is asked for."""
    k = len(layer.matrix)
    return k // group if group and layer.takes_groups and k % group == 0 else 1


def _rounded(rows: NDArray, scale: NDArray) -> NDArray:
    return np.clip(np.rint(rows / scale), INT4.min, INT4.max)


def _as_factors(scale: NDArray) -> NDArray:
    """[G, 1, N]: as whole numbers of 1 to MAX_FACTOR times the same step for all groups of a column, as the machine has them."""
    step = scale.max(axis=0) / MAX_FACTOR
    return np.maximum(np.rint(scale / step), 1) * step if len(scale) > 1 else scale


def replace_weights(model: onnx.ModelProto, layers: Mapping[str, Layer], weights: Mapping[str, Weights]) -> onnx.ModelProto:
    """Changes the QDQ network ``model``. layers, weights: by the names that the weights had in the float one."""
    int4 = helper.tensor_dtype_to_np_dtype(onnx.TensorProto.INT4)
    tensors = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        name = node.input[0].removesuffix("_quantized")
        if node.op_type != "DequantizeLinear" or node.input[0] not in tensors or name not in weights:
            continue
        layer, chosen = layers[name], weights[name]
        groups = len(chosen.scale)
        scale = layer.shaped(chosen.scale) if groups > 1 else chosen.scale[0]
        arrays = layer.shaped(chosen.integers).astype(int4), scale, np.zeros(scale.shape, int4)
        for place, array in zip(node.input, arrays, strict=True):
            tensors[place].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), place))
        if groups > 1:
            del node.attribute[:]
            axis = 1 - layer.axis
            node.attribute.extend(
                [helper.make_attribute("axis", axis), helper.make_attribute("block_size", len(chosen.integers) // groups)]
            )
    return model
