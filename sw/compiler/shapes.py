"""The pipelines and bands that are tried for a run of operators."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .bands import Bands
from .pipeline import Pipeline, Stage

COUNTS = 2, 3, 4, 6, 8, 12, 16, 24, 32  # of bands
FEW_UNITS = 4  # of which every split is tried


def pipelines(operators: Sequence[ir.Operator], p: MachineParameters) -> Iterator[Pipeline]:
    """Splits of the units over the stages, and sizes of bands."""
    bands = [operators[0].outputs[0].rows]
    while bands[-1] > 2 * p.cols:
        bands.append(-(-bands[-1] // 2))
    for units in _splits(operators, p.units):
        stages = tuple(Stage(operator=op.name, units=own or (0,)) for op, own in zip(operators, units, strict=True))
        yield from (Pipeline(stages=stages, band=band) for band in bands)


def in_turn(operators: Sequence[ir.Operator]) -> Iterator[Bands]:
    """Numbers of bands, each operator on all units."""
    names = tuple(op.name for op in operators)
    return (Bands(operators=names, count=count) for count in _counts(operators[-1]))


def side_by_side(operators: Sequence[ir.Operator], p: MachineParameters) -> Iterator[Bands]:
    """Numbers of bands, each operator on units of its own."""
    names = tuple(op.name for op in operators)
    return (Bands(operators=names, count=count, units=units) for units in _splits(operators, p.units) for count in _counts(operators[-1]))


def _counts(last: ir.Operator) -> list[int]:
    """Of bands that an operator's rows can be divided into."""
    rows = last.outputs[0].rows
    if isinstance(last, ir.MatMul) and last.window:
        rows = last.window.lines // (1 + last.pooled)
    if isinstance(last, ir.Deform):
        rows = last.deformation.lines
    return [count for count in COUNTS if count <= rows]


def _splits(operators: Sequence[ir.Operator], units: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """The units of each operator, none of the vector engine's: every split of few units, the most even one of more."""
    work = [op.macs for op in operators if isinstance(op, ir.MatMul)]
    every = combinations(range(1, units), len(work) - 1) if units <= FEW_UNITS else _evenly(work, units)
    for cuts in every:
        shares = (tuple(range(a, b)) for a, b in pairwise((0, *cuts, units)))
        yield tuple(next(shares) if isinstance(op, ir.MatMul) else () for op in operators)


def _evenly(work: Sequence[int], units: int) -> Iterator[tuple[int, ...]]:
    """Where units are divided such that the one with the most work has the least; nowhere where there are too few."""
    if len(work) > units:
        return
    shares = [1] * len(work)
    for _ in range(units - len(work)):
        busiest = max(range(len(work)), key=lambda i: work[i] / shares[i])
        shares[busiest] += 1
    yield tuple(sum(shares[:i]) for i in range(1, len(work)))
