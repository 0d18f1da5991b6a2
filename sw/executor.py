"""Run an integer graph with the golden models: the golden model of a whole network."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rtl.arch.activation import MACHINE_GELU, MACHINE_TABLE
from ..rtl.arch.formats import INT8, Format
from ..rtl.arch.steps import IMPORTANCE_ADDS
from . import graph as ir
from .golden.activation import activation
from .golden.add import add, rescale
from .golden.convolution import convolution, max_pool, pooled, repeated
from .golden.deform import deform
from .golden.importance import add_attention, pick
from .golden.layernorm import layernorm
from .golden.matmul import matmul
from .golden.multiply import multiply
from .golden.narrow import from_narrow
from .golden.planes import to_planes
from .golden.requantize import Int
from .golden.softmax import machine_circuit, softmax
from .golden.topk import topk

IMPORTANCE = "importance of the tokens"  # what stays in the vector engine, among the tensors' values


def flag_of(softmax: str) -> str:
    """What is kept for operators with ``when``, likewise."""
    return f"flag of {softmax}"


class InputError(ValueError):
    """An array that the network can't take: the message names the input."""


def signed_offset(dtype: np.dtype) -> int:
    """What is added to a number of an integer ONNX type to get the machine's signed number: -128 for uint8."""
    return -Format.of(dtype.name).offset


def quantize(array: ArrayLike, scale: ArrayLike, zero_point: int | Int, low: int, high: int) -> Int:
    """ONNX QuantizeLinear in its own float32 arithmetic: round half to even, saturate; infinities too. No NaN."""
    with np.errstate(over="ignore"):
        steps = np.rint(np.asarray(array, np.float32) / np.asarray(scale, np.float32))
    return np.clip(steps.astype(np.float64) + zero_point, low, high).astype(np.int64)


def check_input(port: ir.Port, array: NDArray) -> None:
    """Raises InputError unless the array has the port's shape and type, and only numbers, of rows only those that there are."""
    if array.shape != port.shape:
        raise InputError(f"input {port.name} must have the shape {list(port.shape)}, not {list(array.shape)}")
    if array.dtype != port.dtype:
        raise InputError(f"input {port.name} must be {port.dtype}, not {array.dtype}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InputError(f"input {port.name} must hold numbers, not NaN")
    if isinstance(port, ir.GraphInput) and port.choices:
        bad = array[(array < 0) | (array >= port.choices)]
        if bad.size:
            raise InputError(f"input {port.name} must hold numbers in 0..{port.choices - 1}, not {bad.flat[0]}")


def quantize_input(port: ir.Port, array: NDArray) -> Int:
    """The 2-D tensor [rows, cols] of a user's array. Raises InputError as `check_input`."""
    check_input(port, array)
    flat = array.reshape(-1)[port.permutation]
    planes = isinstance(port, ir.GraphInput) and port.planes
    if port.dtype.kind == "f":
        limits = INT8 if planes else port.tensor.format
        values = quantize(flat, port.scale, port.zero_point, limits.min, limits.max)
    else:
        values = flat.astype(np.int64) + signed_offset(port.dtype)
    return np.concatenate(to_planes(values)) if planes else values


def dequantize_output(port: ir.Port, tensor: ArrayLike) -> NDArray:
    """The user's array, of the port's shape and type, from the 2-D tensor."""
    numbers = np.asarray(tensor, np.int64)
    if port.dtype.kind == "f":
        numbers = (numbers - port.zero_point).astype(np.float32) * np.float32(port.scale)
    else:
        numbers = numbers - signed_offset(port.dtype)
    out = np.empty(port.permutation.size, port.dtype)
    out[port.permutation.reshape(-1)] = numbers.reshape(-1)
    return out.reshape(port.shape)


def run_operator(operator: ir.Operator, values: dict[str, Int], lanes: int) -> None:
    """Compute one operator: read and write the tensors in ``values`` in place. lanes: of the machine's vector engine."""

    def read(block: ir.Block) -> Int:
        return values[block.tensor.name][block.slices]

    if operator.when and not values[flag_of(operator.when)].any():
        return
    match operator:
        case ir.MatMul():
            shifts = read(operator.shift)[0] if operator.shift else np.zeros(len(operator.parts), np.int64)
            for part, shift in zip(operator.parts, shifts.tolist(), strict=True):
                a, b, parameters = read(part.a), read(_shifted(part.b, shift)), operator.parameters
                a = np.tile(a, operator.groups) if operator.planes else a
                b = from_narrow(b, 4) if operator.halves else b
                if operator.shift:
                    parameters = parameters.of_channels(shift * part.b.rows, part.b.rows)
                if operator.maximum:
                    assert operator.window
                    product = max_pool(a, operator.window, parameters)
                elif operator.window:
                    product = convolution(a, b, operator.window, parameters)
                else:
                    product = matmul(a, b.T if operator.b_transposed else b, parameters)
                if operator.table:
                    product = activation(product, operator.table, MACHINE_TABLE)
                if operator.residual:
                    product = add(product, read(operator.residual.r), operator.residual.parameters)
                if operator.window:
                    width = operator.window.columns * (operator.run or 1)
                    product = product.reshape(-1, part.out.cols)
                    product = pooled(product, width) if operator.pooled else repeated(product, width) if operator.repeated else product
                values[part.out.tensor.name][part.out.slices] = product
            return
        case ir.Add():
            result = add(read(operator.a), read(operator.b), operator.parameters)
        case ir.Multiply():
            result = multiply(read(operator.a), read(operator.b), operator.parameters)
        case ir.Rescale():
            result = rescale(read(operator.a), operator.parameters)
        case ir.Upsample():
            result = repeated(read(operator.a), operator.width)
        case ir.Arrange():
            result = np.hstack([read(block) for block in operator.sources])[:, list(operator.columns)]
        case ir.Softmax():
            result = softmax(read(operator.a), operator.parameters, machine_circuit(lanes))
            if operator.importance:
                before = values[IMPORTANCE] if operator.importance == IMPORTANCE_ADDS else 0
                values[IMPORTANCE] = add_attention(before, result, operator.parameters.out_zero_point)
            if operator.threshold is not None:
                values[flag_of(operator.name)] = result.max(axis=1) < operator.threshold
        case ir.Pick():
            if operator.importance:
                places, values[IMPORTANCE] = pick(values[IMPORTANCE], operator.out.cols, operator.protected)
            else:
                places = np.stack([topk(row, operator.out.cols) for row in read(operator.by)])
            result = read(operator.labels)[0, places].reshape(operator.out.rows, -1)
        case ir.TopK():
            a = read(operator.a)
            places = topk(a.reshape(-1), operator.values.cols)
            for block, found in zip(operator.outputs, (a.reshape(-1)[places], *np.divmod(places, a.shape[1])), strict=True):
                values[block.tensor.name][block.slices] = found
            return
        case ir.Fetch():
            shift = int(read(operator.shift)[0, 0]) if operator.shift else 0
            source = _shifted(operator.source, shift, beside=operator.beside)
            rows = np.arange(source.rows) if operator.numbers is None else read(operator.numbers)[0]
            result = values[source.tensor.name][source.row + rows, source.col : source.col + source.cols]
        case ir.Transfer():
            result = read(operator.a)
        case ir.Gather():
            result = read(operator.a)[read(operator.numbers)[0]]
        case ir.Gelu():
            result = activation(read(operator.a), operator.parameters, MACHINE_GELU)
        case ir.Table():
            result = activation(read(operator.a), operator.parameters, MACHINE_TABLE)
        case ir.Deform():
            offsets, masks = (None if block is None else read(block) for block in (operator.offsets, operator.masks))
            result = deform(read(operator.a), offsets, masks, read(operator.b), operator.deformation, operator.parameters)
        case ir.LayerNorm():
            result = layernorm(read(operator.a), operator.parameters)
        case _:
            raise TypeError(f"operator must be one of sw/graph.py's, not {operator!r}")
    values[operator.out.tensor.name][operator.out.slices] = result


def _shifted(block: ir.Block, count: int, *, beside: bool = False) -> ir.Block:
    """So many blocks further to the right, or down."""
    return replace(block, col=block.col + count * block.cols) if beside else replace(block, row=block.row + count * block.rows)


def initial_values(graph: ir.Graph) -> dict[str, Int]:
    """The constants' values by tensor name, and zeros for all other tensors."""
    return {t.name: np.zeros((t.rows, t.cols), np.int64) if t.data is None else t.data.astype(np.int64) for t in graph.tensors.values()}


def execute(graph: ir.Graph, arrays: Mapping[str, NDArray], *, lanes: int) -> dict[str, Int]:
    """Run the graph on the user's arrays, by ONNX input name. Returns each tensor's value, [rows, cols], by tensor name.

    lanes: of the machine's vector engine; softmax adds in groups of that size (see golden/softmax.py).

    Raises
    ------
    InputError
        If an array is missing, has a wrong shape or type, or holds NaN or the number of a row that there is not.
    """
    for name in arrays:
        if name not in {port.name for port in graph.inputs}:
            raise InputError(f"input {name} is not one of the network's: {', '.join(p.name for p in graph.inputs)}")
    values = initial_values(graph)
    for port in graph.inputs:
        if port.name not in arrays:
            raise InputError(f"input {port.name} is missing")
        values[port.tensor.name] = quantize_input(port, arrays[port.name])
    for operator in graph.operators:
        run_operator(operator, values, lanes)
    return values
