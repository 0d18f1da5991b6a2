"""Concat: tensors side by side, which the machine never moves if it can write them so."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from typing_extensions import Self

from ..graph import Arrange, Tensor
from .onnx_file import Node
from .operands import Operands
from .values import Constant, Index, Pending, View, columns_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined(Pending):
    """The columns of the ``parts``, [rows, columns] each, side by side; element (row, column) is counted row by row."""

    node: Node
    parts: tuple[View, ...]

    @property
    def rows(self) -> int:
        return len(self.parts[0].index)

    @property
    def size(self) -> int:
        return sum(part.index.size for part in self.parts)

    def of(self, parts: Iterable[View]) -> Self:
        """The same of these."""
        return replace(self, parts=tuple(parts))

    def layouts(self) -> list[Index]:
        return [np.arange(self.size).reshape(self.rows, -1)]

    def columns(self, columns: Index) -> Iterator[View]:
        """Parts that have only these columns."""
        owner = np.repeat(np.arange(len(self.parts)), [part.index.shape[1] for part in self.parts])
        before = np.cumsum([0, *(part.index.shape[1] for part in self.parts)])
        for number, run in groupby(columns.tolist(), key=lambda col: owner[col]):
            part = self.parts[number]
            yield replace(part, index=part.index[:, np.array(list(run)) - before[number]])

    def operator(self, name: str, out: Tensor, place: Index) -> Arrange:
        sources = list(dict.fromkeys(part.source for part in self.parts if isinstance(part.source, Tensor)))
        before, columns = np.cumsum([0, *(source.cols for source in sources)]), list[int]()
        for part in self.parts:
            assert isinstance(part.source, Tensor)
            found = columns_of(part.source.rows, part.source.cols, part.index)
            if found is None:
                raise ValueError(f"its operands must be columns of stored tensors, of all their rows, not of {part.source}")
            columns += (before[sources.index(part.source)] + found).tolist()
        return Arrange(name=name, node=self.node.name, sources=tuple(t.whole for t in sources), columns=tuple(columns), out=out.whole)


def alone(value: View) -> View:
    """A view of joined tensors as one of those of their columns alone that it has, in its own order."""
    source = value.source
    assert isinstance(source, Joined)
    for axis in (1, -1):
        index = np.moveaxis(value.index, axis, -1)
        columns = columns_of(source.rows, source.size // source.rows, index.reshape(-1, index.shape[-1]))
        if columns is not None:
            return View(source=source.of(source.columns(columns)), index=_numbers(index.shape, axis))
    raise ValueError("of joined tensors only whole columns can be quantized")


def joined(node: Node, operands: Operands) -> View:
    """As ONNX Concat, along the axis that is the columns of the stored tensors."""
    values = [operands.value(node, slot) for slot in range(len(node.inputs))]
    views = [value for value in values if isinstance(value, View)]
    if len(views) < len(values):
        name = next(value.name for value in values if isinstance(value, Constant))
        raise ValueError(f"its operand {name} is a constant")
    if any(view.integers is not None for view in views):
        raise ValueError("its operands must be dequantized")
    axis, parts = int(node.attributes["axis"]) % len(views[0].shape), list[View]()
    views = [alone(view) if isinstance(view.source, Joined) else view for view in views]
    indices = [np.moveaxis(view.index, axis, -1) for view in views]
    for view, index in zip(views, indices, strict=True):
        rows = index.reshape(-1, index.shape[-1])
        parts += view.source.parts if isinstance(view.source, Joined) else [replace(view, index=rows)]
    shape = *indices[0].shape[:-1], sum(index.shape[-1] for index in indices)
    return View(source=Joined(node=node, parts=tuple(parts)), index=_numbers(shape, axis))


def _numbers(shape: tuple[int, ...], axis: int) -> Index:
    """Counted row by row, with the columns as an axis of the value."""
    return np.moveaxis(np.arange(np.prod(shape, dtype=int)).reshape(shape), -1, axis)
