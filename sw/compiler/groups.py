"""Convolution in groups: groups are bundled until they fill whole words, and a bundle's weights made one matrix, zero between groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .. import graph as ir
from .layout import Buffer, Layout


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
    whole = (n for n in range(1, groups) if n * count % a.word_elements == 0 and n * out_count % out.word_elements == 0)
    size = next(whole, groups)
    for group in range(0, groups, size):
        n = min(size, groups - group)
        yield Bundle(first=group * count, count=n * count, out_first=group * out_count, out_count=n * out_count)


def bundled_weights(layouts: Mapping[str, Layout], op: ir.MatMul) -> Buffer:
    """The rows of the weights, each over its whole bundle, tap by tap, a tap in whole words."""
    part = op.parts[0]
    weights, window, word = part.b.tensor, op.window, layouts[part.b.tensor.name].word_bytes
    assert window
    assert weights.data is not None
    depth, per_group = part.a.cols // window.groups, part.out.cols // window.groups
    every = list(bundles(layouts, op, part))
    row_bytes = window.taps * max(-(-bundle.count // word) for bundle in every) * word
    rows = np.full((weights.rows, row_bytes), weights.zero_point, np.int8)
    for bundle in every:
        taps = rows[:, : window.taps * -(-bundle.count // word) * word].reshape(weights.rows, window.taps, -1)
        for n in range(bundle.out_first, bundle.out_first + bundle.out_count):
            start = n // per_group * depth - bundle.first
            taps[n, :, start : start + depth] = weights.data[n].reshape(window.taps, depth)
    return Buffer(name=weights.name, rows=weights.rows, row_words=row_bytes // word, data=rows.tobytes())
