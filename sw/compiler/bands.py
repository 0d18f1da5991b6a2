"""Operators in bands: one after the other, but for some rows of the last one's results at a time. Of the tensor between two of them no
more is ever kept than what a band needs; what two bands need is made twice. Where each operator has units of its own, one works on a band
while the next one does on the band before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from typing_extensions import Self

from .task import Task, Way


@dataclass(frozen=True, kw_only=True)
class Bands:
    """operators: their names; each of them alone reads the results of the one before. count: of bands, as equal as can be. units: of each
    operator, none of the vector engine's; or empty, for all to take turns on all units."""

    operators: tuple[str, ...]
    count: int
    units: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        shares = [f" on {len(own)}" if own else "" for own in self.units or [()] * len(self.operators)]
        operators = (f"{name}{share}" for name, share in zip(self.operators, shares, strict=True))
        return f"{' -> '.join(operators)}, in {self.count} bands"

    @property
    def at_once(self) -> int:
        """Bands of a tensor that are kept at the same time."""
        return 2 if self.units else 1

    def renamed(self, names: Sequence[str]) -> Self:
        """The same of other operators."""
        return replace(self, operators=tuple(names))


@dataclass(frozen=True, kw_only=True, eq=False)
class BandRows:
    """Which rows of the operators' ``ways`` each band takes: a way each."""

    bands: Bands
    ways: Sequence[Way]

    def __iter__(self) -> Iterator[list[range]]:
        """For each band a range for each operator: of what the next one reads."""
        last = self.ways[-1].rows
        for band in range(self.bands.count):
            rows = [range(last * band // self.bands.count, last * (band + 1) // self.bands.count)]
            for writer, reader in reversed(list(pairwise(self.ways))):
                rows.insert(0, _made_for(writer, reader, rows[0]))
            yield rows

    @cached_property
    def rows(self) -> dict[str, int]:
        """That the largest band keeps of each buffer between the operators, by its name."""
        every = [self._written(rows) for rows in self]
        return {name: max(len(kept[name]) for kept in every) for name in every[0]}

    @property
    def words(self) -> dict[str, int]:
        """Of all that is kept of each of these buffers."""
        outs = (_made(way, range(1)).operands["out"].buffer for way in self.ways[:-1])
        return {buffer.name: self.bands.at_once * self.rows[buffer.name] * buffer.row_words for buffer in outs}

    def origins(self, band: int, rows: Sequence[range]) -> dict[str, int]:
        """The row with which the place of each of these buffers begins: what is kept of every second band is behind that of the first."""
        behind = band % self.bands.at_once
        return {name: kept.start - behind * self.rows[name] for name, kept in self._written(rows).items()}

    def _written(self, rows: Sequence[range]) -> dict[str, range]:
        """Rows of each buffer between the operators."""
        outs = (_made(way, of_it).operands["out"] for way, of_it in zip(self.ways[:-1], rows, strict=False))
        return {out.buffer.name: range(out.row, out.row + out.rows) for out in outs}


def part_of(way: Way, rows: range) -> Way:
    """Some rows of a way."""
    return replace(way, make=lambda row, *rest: way.make(rows.start + row, *rest), rows=len(rows))


def placed(task: Task, origins: Mapping[str, int]) -> Task:
    """A task where the places of these buffers begin with these rows."""
    operands = {
        field: replace(operand, origin=origins.get(operand.buffer.name, operand.origin)) for field, operand in task.operands.items()
    }
    return replace(task, operands=operands)


def _made(way: Way, rows: range) -> Task:
    return way.make(rows.start, len(rows), 0, way.cols)


def _made_for(writer: Way, reader: Way, rows: range) -> range:
    """The rows of a writer that these of its reader need."""
    a, first = _made(reader, rows).operands["a"], _made(writer, range(1)).operands["out"]
    above, below = a.row - first.row, a.row + a.rows - first.row
    return range(above // first.rows, -(-below // first.rows))
