"""Softmax, and the masks right before it: a constant that is added to the scores, or that takes their place."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..golden.softmax import SoftmaxParameters, machine_circuit
from ..graph import Block, Operator, Softmax, Tensor
from .onnx_file import Node
from .rowwise import Rowwise, along_rows, last_axis, rows_of
from .values import Constant, View, fit

FAR = 40.0  # 65,536 scores that lie so far below the others add less than 2**-41 to the sum: no output shows them


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftmaxOf(Rowwise):
    """Over the first ``length`` elements of each row, and one more in each row after the first of a matrix of ``rows`` rows."""

    length: int
    rows: int

    @classmethod
    def of(cls, node: Node, view: View) -> View:
        last_axis(node, view)
        if isinstance(view.source, Masked):
            scores = view.source
            along_rows(scores.a, view.index)
            return replace(view, source=cls(node=node, a=scores.a, scale=scores.scale, length=scores.length, rows=scores.rows))
        a, index = rows_of(view)
        return View(source=cls(node=node, a=a, scale=view.scale, length=a.cols, rows=1), index=index)

    def placed(self, name: str, out: Block) -> Softmax:
        parameters = fit(
            SoftmaxParameters.from_scales,
            circuit=machine_circuit(lanes=1),  # the parameters are the same for any
            in_scale=self.scale,
            out_scale=out.tensor.scale,
            out_zero_point=out.tensor.zero_point,
            source=self.a.tensor.format,
            out=out.tensor.format,
            length=self.length,
            rows=self.rows,
        )
        return Softmax(name=name, node=self.node.name, a=self.a, out=out, parameters=parameters)


@dataclass(frozen=True, kw_only=True, eq=False)
class Masked(Rowwise):
    """Scores of which the first ``length`` count in the first row of a matrix of ``rows`` rows, and one more in each row after it."""

    length: int
    rows: int

    @classmethod
    def _of(cls, node: Node, scores: View, counts: NDArray[np.bool_]) -> View:
        """counts: the elements that the mask leaves, of a shape that broadcasts to that of the scores."""
        if np.broadcast_shapes(scores.shape, counts.shape) != scores.shape:
            raise ValueError(f"its mask {list(counts.shape)} does not fit {list(scores.shape)}")
        a, index = rows_of(scores)
        by_row = np.broadcast_to(counts, scores.shape).reshape(a.rows, a.cols)
        stored = np.empty_like(by_row)
        stored[index.reshape(a.rows, a.cols)[:, 0] // a.cols] = by_row
        length, rows = _pattern(stored, scores.shape[-2] if len(scores.shape) > 1 else 1)
        return View(source=cls(node=node, a=a, scale=scores.scale, length=length, rows=rows), index=index)

    @classmethod
    def added(cls, node: Node, scores: View, mask: Constant) -> View:
        """scores + mask. Raises ValueError unless the mask adds nothing, or leaves an element out."""
        limit, counts = _far(scores), mask.array == 0
        if not (counts | (mask.array <= limit)).all():
            raise ValueError(f"what is added right before Softmax must be 0, or at most {limit:.5g} to leave an element out")
        return cls._of(node, scores, counts)

    @classmethod
    def chosen(cls, node: Node, scores: View, counts: NDArray[np.bool_], other: Constant) -> View:
        """The scores where they count, else ``other``. Raises ValueError unless that leaves an element out."""
        limit = _far(scores)
        if not (counts | (other.array <= limit)).all():
            raise ValueError(f"what takes a score's place right before Softmax must be at most {limit:.5g} to leave it out")
        return cls._of(node, scores, counts)

    def placed(self, name: str, out: Block) -> Operator:
        raise ValueError("a mask is supported right before Softmax only, without QuantizeLinear in between")


def _far(scores: View) -> float:
    """What lies so far below the lowest score, alone or added to the highest one."""
    assert isinstance(scores.source, Tensor)
    return -(2**scores.source.bits * scores.scale + FAR)


def _pattern(counts: NDArray[np.bool_], matrix: int) -> tuple[int, int]:
    """``(length, rows)`` of the mask that leaves the elements [R, n] where ``counts``. matrix: rows of a matrix, if the mask grows.

    Raises ValueError on masks of another kind.
    """
    lengths, columns = counts.sum(axis=1), np.arange(counts.shape[1])
    if not lengths.all():
        raise ValueError(f"its mask leaves nothing of row {lengths.argmin()}")
    first = int(lengths[0])
    for rows in (1, matrix):
        if np.array_equal(counts, columns < first + np.arange(len(counts))[:, None] % rows):
            return first, rows
    raise ValueError("its mask must leave the first elements of each row: as many in each row, or one more than in the row before")
