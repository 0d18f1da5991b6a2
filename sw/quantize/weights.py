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
DAMPING = 0.01  # of the mean square of what rows are multiplied with: keeps the inverse of their products within bounds
KIB = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """Of a layer, as the matrix ``integers * scale``. integers: int8 [K, N], -8..7. scale: [G, N], of G equal groups of k."""

    integers: NDArray[np.int8]
    scale: NDArray[np.float32]

    @property
    def matrix(self) -> NDArray[np.float32]:
        return self.integers * self.scales

    @property
    def scales(self) -> NDArray[np.float32]:
        """[K, N]."""
        return np.repeat(self.scale, len(self.integers) // len(self.scale), axis=0)


def of_four_bits(layer: Layer, groups: int, products: NDArray[np.float64] | None) -> Weights:
    """groups: along K, each with scales of its own. products: [parts, K, K], of each two numbers that a row of what each part of the matrix
    is multiplied with has, added up over all such rows; where they are known, they say what errors cost."""
    matrix = layer.matrix.astype(np.float64)
    k, n = matrix.shape
    damped = None if products is None else [_damped(part) for part in products]
    cost = np.ones((k, 1)) if damped is None else np.repeat(np.diagonal(damped, axis1=1, axis2=2).T, n // len(damped), axis=1)
    scale = _scales(matrix.reshape(groups, -1, n), cost.reshape(groups, k // groups, -1))
    scales = np.repeat(scale, k // groups, axis=0)
    if damped is None:
        integers = _nearest(matrix, scales)
    else:
        parts = (np.split(array, len(damped), axis=1) for array in (matrix, scales))
        integers = np.concatenate([_compensated(*part) for part in zip(*parts, damped, strict=True)], axis=1)
    return Weights(integers=integers.astype(np.int8), scale=scale.astype(np.float32))


def _damped(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K, K], which has an inverse."""
    return products + np.eye(len(products)) * (DAMPING * np.diag(products).mean() or 1)


def groups_of(layer: Layer, group: int) -> int:
    """How many groups of so many rows the layer has; 1 where it takes none, or 0 is asked for."""
    k = len(layer.matrix)
    return k // group if group and layer.takes_groups and k % group == 0 else 1


def weight_bytes(layer: Layer, bits: int, groups: int) -> int:
    """Of the integers, and of the factors of groups, a byte each."""
    k, n = layer.matrix.shape
    return -(-k * n * bits // 8) + (groups * n if groups > 1 else 0)


def _scales(rows: NDArray, cost: NDArray) -> NDArray[np.float64]:
    """[G, N] for rows [G, K / G, N]: of the least squared error, times the cost of each row's. Those of several groups are multiples of a
    step for each column, up to MAX_FACTOR, as the machine has them."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    largest = np.where(largest == 0, largest.max(axis=0), largest)  # so that a group of zeros doesn't make the step coarser
    largest[largest == 0] = 1
    best, least = largest / INT4.max, np.full(largest.shape, np.inf)
    for ratio in RATIOS:
        scale = largest * ratio / INT4.max
        error = (np.square(_nearest(rows, scale) * scale - rows) * cost).sum(axis=1, keepdims=True)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    best = best[:, 0]
    step = best.max(axis=0) / MAX_FACTOR
    return np.maximum(np.rint(best / step), 1) * step if len(best) > 1 else best


def _nearest(rows: NDArray, scale: NDArray) -> NDArray[np.float64]:
    return np.clip(np.rint(rows / scale), INT4.min, INT4.max)


def _compensated(matrix: NDArray, scales: NDArray, products: NDArray) -> NDArray[np.float64]:
    """Integers [K, N], row by row, the most important first: those that aren't rounded yet make up for the errors of those that are, as far
    as what they are multiplied with goes together (Frantar et al., GPTQ, 2023)."""
    order = np.argsort(-np.diag(products), kind="stable")
    left, scales = matrix[order], scales[order]
    factor = np.linalg.cholesky(np.linalg.inv(products[np.ix_(order, order)])).T  # factor.T @ factor is the inverse
    integers = np.zeros(matrix.shape)
    for place, row in enumerate(order):
        integers[row] = _nearest(left[place], scales[place])
        error = (left[place] - integers[row] * scales[place]) / factor[place, place]
        left[place + 1 :] -= np.outer(factor[place, place + 1 :], error)
    return integers


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
        arrays = layer.shaped(chosen.integers).astype(int4), scale.astype(layer.array.dtype), np.zeros(scale.shape, int4)
        for place, array in zip(node.input, arrays, strict=True):
            tensors[place].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), place))
        if groups > 1:
            del node.attribute[:]
            axis = 1 - layer.axis
            node.attribute.extend(
                [helper.make_attribute("axis", axis), helper.make_attribute("block_size", len(chosen.integers) // groups)]
            )
    return model
