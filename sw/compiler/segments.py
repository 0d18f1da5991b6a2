"""Runs of columns that a step can take at once."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .groups import bundles, by_channel
from .layout import Layout


def segments(layouts: Mapping[str, Layout], blocks: list[ir.Block], more: Iterable[int] = ()) -> Iterator[tuple[int, int]]:
    """Runs of columns (first, count) that are contiguous in each of the blocks, and cut at ``more``."""
    cuts = {0, blocks[0].cols, *more}
    for block in blocks:
        group = layouts[block.tensor.name].group
        cuts |= {g - block.col for g in range(0, block.tensor.cols, group) if 0 < g - block.col < block.cols}
    return ((a, b - a) for a, b in pairwise(sorted(cuts)))


def channel_segments(
    layouts: Mapping[str, Layout], op: ir.MatMul, part: ir.MatMulPart, parameters: MachineParameters
) -> Iterator[tuple[int, int]]:
    """Runs of output channels (first, count) that one command can compute."""
    if op.run:
        return iter([(0, op.channels)])
    results = [part.out, op.residual.r] if op.residual else [part.out]
    if by_channel(op, parameters):
        return segments(layouts, [*results, part.a])
    cuts = (bundle.out_first for bundle in bundles(layouts, op, part)) if op.window else ()
    return segments(layouts, results if op.b_transposed else [*results, part.b], cuts)
