"""Where a matrix lies in DRAM whose banks compute, and which macros multiply it with a vector.

All banks of all channels give an output at once: output i of a matrix [m, k] is bank i % N's, of N = channels * banks, and the outputs
p * N to p * N + N - 1 are group p. The columns of a group follow those of the group before, so rows of DRAM are full, and a group may
begin in one row and end in the next. Or, not `split`, it begins a row if the one before has not enough left for it: then rows change
while sums are read, which costs no time, but fewer columns find their row open, and the matrix takes more rows.

A k that the global buffer has no room for is cut into chunks, of which the first lies first, of all groups: the vector's chunk is written
once and meets all groups, and the chunks' sums are added outside. The other order, all chunks of a group first, would save sums to read but
write each chunk of the vector for every group, between two switches of the mode as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.dram import Dram, NumberFormat
from ...rtl.arch.pim import Macro
from ..golden.pim import columns

Macros = Iterator[tuple[Macro, Mapping[str, int]]]
Columns = NDArray[np.uint8]  # [n, column_bytes]
Image = Mapping[tuple[int, int, int], Columns]  # rows, [columns, column_bytes], by channel, bank and row


class MappingError(ValueError):
    """What doesn't fit into the device."""


def outputs(dram: Dram) -> int:
    """That all banks give at once."""
    return dram.channels * dram.banks


def in_columns(elements: NDArray[Any], dram: Dram) -> Columns:
    """int8 or BF16 patterns [..., k] as bytes of columns, [..., columns, column_bytes]; zeros fill the last one."""
    return columns(np.ascontiguousarray(elements).view(np.uint8), dram.column_bytes)


def check_rows(dram: Dram, what: str, row: int, rows: int) -> None:
    """Raises MappingError if ``what``, from ``row`` on, is larger than the device."""
    missing = row + rows - dram.rows
    if missing > 0:
        raise MappingError(f"{what} needs {rows} rows of each bank from row {row} on, the device has {dram.rows}, {missing} too few")


def sums_of(dram: Dram, buffer: int, place: int, count: int) -> Macros:
    """Every bank's sum of ``count`` columns, from the ``place``-th column on, with those of the global buffer from ``buffer`` on."""
    row, column = divmod(place, dram.columns)
    yield Macro.WRITE_ACCUMULATORS, {}
    yield Macro.MAC_ALL, {"row": row, "column": column, "buffer": buffer, "count": count}
    yield Macro.READ_ACCUMULATORS, {}


def start_values(dram: Dram, sums: int) -> Columns:
    """What is written for so many `sums_of`: zeros."""
    return np.zeros((sums * dram.channels * dram.accumulator_columns, dram.column_bytes), np.uint8)


@dataclass(frozen=True, kw_only=True)
class MatrixMap:
    """A matrix [m, k] from `row` of each bank on. Raises MappingError where the device ends before."""

    dram: Dram
    m: int
    k: int
    row: int = 0
    kind: NumberFormat = NumberFormat.INT8
    split: bool = True

    def __post_init__(self) -> None:
        check_rows(self.dram, f"a matrix [{self.m}, {self.k}]", self.row, self.rows)

    @cached_property
    def groups(self) -> int:
        return -(-self.m // outputs(self.dram))

    @cached_property
    def chunks(self) -> list[tuple[int, int]]:
        """The first column of each chunk of an output, and the one behind its last: as long as each other, if that comes out even."""
        whole = -(-self.k // self.dram.lanes(self.kind))
        size = -(-whole // -(-whole // self.dram.buffer_columns))
        return [(first, min(first + size, whole)) for first in range(0, whole, size)]

    @cached_property
    def places(self) -> list[list[int]]:
        """The first column of each group, counted from row 0 on, by chunks."""
        found, at = [], self.row * self.dram.columns
        for first, end in self.chunks:
            groups = []
            for _ in range(self.groups):
                in_row = at % self.dram.columns
                if not self.split and in_row and in_row + end - first > self.dram.columns:
                    at += self.dram.columns - in_row
                groups.append(at)
                at += end - first
            found.append(groups)
        return found

    @property
    def rows(self) -> int:
        """Of each bank."""
        first, end = self.chunks[-1]
        return -(-(self.places[-1][-1] + end - first) // self.dram.columns) - self.row

    def image(self, matrix: NDArray[Any]) -> Image:
        """Of a matrix [m, k], int8 or BF16 patterns: what its rows of the DRAM hold."""
        d = self.dram
        whole = np.zeros((self.groups * outputs(d), self.k), matrix.dtype)
        whole[: self.m] = matrix
        by_group = in_columns(whole, d).reshape(self.groups, outputs(d), -1, d.column_bytes)
        of_banks = np.zeros((outputs(d), self.rows * d.columns, d.column_bytes), np.uint8)
        for (first, end), places in zip(self.chunks, self.places, strict=True):
            for group, place in zip(by_group, places, strict=True):
                start = place - self.row * d.columns
                of_banks[:, start : start + end - first] = group[:, first:end]
        return filled_rows(d, self.row, of_banks)

    def macros(self) -> Macros:
        """Of a matrix-vector product."""
        for (first, end), places in zip(self.chunks, self.places, strict=True):
            yield Macro.WRITE_BUFFER, {"buffer": 0, "count": end - first}
            for place in places:
                yield from sums_of(self.dram, 0, place, end - first)

    def written(self, vector: NDArray[Any]) -> Columns:
        """The data of the macros, for a vector [k] of the matrix's type."""
        whole, start = in_columns(vector, self.dram), start_values(self.dram, self.groups)
        return np.concatenate([part for first, end in self.chunks for part in (whole[first:end], start)])

    def result(self, read: Columns) -> NDArray[Any]:
        """The product [m] from what the macros answer: int32, or float32, of which the chunks are added in their order."""
        sums = read.reshape(-1).view(np.int32 if self.kind is NumberFormat.INT8 else np.float32)
        total, *others = sums.reshape(len(self.chunks), -1)
        for chunk in others:
            total = total + chunk
        return total[: self.m]


def filled_rows(dram: Dram, row: int, of_banks: Columns) -> Image:
    """Columns of all banks [N, n, column_bytes], which fill rows from ``row`` on; zeros fill the last one."""
    rows = -(-of_banks.shape[1] // dram.columns)
    whole = np.zeros((len(of_banks), rows * dram.columns, dram.column_bytes), np.uint8)
    whole[:, : of_banks.shape[1]] = of_banks
    by_row = whole.reshape(dram.channels, dram.banks, rows, dram.columns, dram.column_bytes)
    return {(channel, bank, row + i): by_row[channel, bank, i] for channel, bank, i in np.ndindex(by_row.shape[:3])}
