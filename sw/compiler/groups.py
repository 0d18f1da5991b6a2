"""Convolution in groups: channel by channel where the array can; else groups are bundled until they fill whole words, and a bundle's
weights made one matrix, zero between groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .layout import Buffer, Layout, spare_words


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Input channels first to first + count - 1 make output channels out_first to out_first + out_count - 1."""

    first: int
    count: int
    out_first: int
    out_count: int


def bundles(layouts: Mapping[str, Layout], op: ir.MatMul, part: ir.MatMulPart) -> Iterator[Bundle]:
    """As small as words allow: what a bundle has too much is computed in vain."""
    assert op.window
    groups = op.window.groups
    count, out_count = part.a.cols // groups, part.out.cols // groups
    a, out = layouts[part.a.tensor.name], layouts[part.out.tensor.name]
    r = layouts[op.residual.r.tensor.name] if op.residual else out
    elements = max(out.word_elements, r.word_elements)
    whole = (n for n in range(1, groups) if n * count % a.word_elements == 0 and n * out_count % elements == 0)
    size = next(whole, groups)
    for group in range(0, groups, size):
        n = min(size, groups - group)
        yield Bundle(first=group * count, count=n * count, out_first=group * out_count, out_count=n * out_count)


def in_groups(op: ir.MatMul) -> bool:
    """Whether the weights are those of `grouped_weights`."""
    return op.window is not None and (op.window.groups > 1 or op.maximum)


def by_channel(op: ir.MatMul, parameters: MachineParameters) -> bool:
    """Whether the array takes each channel by itself."""
    window, part = op.window, op.parts[0]
    return window is not None and parameters.depthwise and window.groups == part.a.cols == part.out.cols and in_groups(op)


def pixels_of_tap(op: ir.MatMul) -> int:
    """Of an operator `by_channel`: a maximum is one of single pixels."""
    assert op.window
    return 1 if op.maximum else op.window.depthwise_taps


def grouped_weights(layouts: Mapping[str, Layout], op: ir.MatMul, parameters: MachineParameters) -> Buffer:
    """The weights of a convolution in groups as the array takes them."""
    weights = op.parts[0].b.tensor
    rows = _channel_weights(layouts, op) if by_channel(op, parameters) else _bundled_weights(layouts, op)
    layout = layouts[weights.name]
    words = rows.shape[1] // layout.word_elements
    spare = spare_words(words, parameters)
    return Buffer(name=weights.name, rows=len(rows), row_words=words + spare, data=layout.octets(rows, spare))


def _channel_weights(layouts: Mapping[str, Layout], op: ir.MatMul) -> NDArray[np.int8]:
    """[N, elements]: each depthwise tap from its last pixel back, in a word."""
    weights, window = op.parts[0].b.tensor, op.window
    assert window
    assert weights.data is not None
    (height, width), k = window.kernel, pixels_of_tap(op)
    taps = -(-width // k)
    padded = np.full((weights.rows, height, taps * k), weights.zero_point, np.int8)
    padded[:, :, :width] = weights.data.reshape(weights.rows, height, width)
    rows = np.full((weights.rows, height * taps, layouts[weights.name].word_elements), weights.zero_point, np.int8)
    rows[:, :, :k] = padded.reshape(weights.rows, height * taps, k)[:, :, ::-1]
    return rows.reshape(weights.rows, -1)


def _bundled_weights(layouts: Mapping[str, Layout], op: ir.MatMul) -> NDArray[np.int8]:
    """[N, elements]: each row over its whole bundle, tap by tap, a tap in whole words."""
    part = op.parts[0]
    weights, window, word = part.b.tensor, op.window, layouts[part.b.tensor.name].word_elements
    assert window
    assert weights.data is not None
    depth, per_group = part.a.cols // window.groups, part.out.cols // window.groups
    every = list(bundles(layouts, op, part))
    row_elements = window.taps * max(-(-bundle.count // word) for bundle in every) * word
    rows = np.full((weights.rows, row_elements), weights.zero_point, np.int8)
    for bundle in every:
        taps = rows[:, : window.taps * -(-bundle.count // word) * word].reshape(weights.rows, window.taps, -1)
        for n in range(bundle.out_first, bundle.out_first + bundle.out_count):
            start = n // per_group * depth - bundle.first
            taps[n, :, start : start + depth] = weights.data[n].reshape(window.taps, depth)
    return rows
