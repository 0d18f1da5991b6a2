"""The largest elements of a matrix: the machine picks those of a row, so first of each row, or part of one, then of what is left, side by
side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .errors import CompileError

VALUES, ROWS, COLS = "values", "rows", "cols"
Run = Mapping[str, ir.Block]  # rows of as many elements: the values to pick by, and what is picked with them


def with_picks(graph: ir.Graph, parameters: MachineParameters) -> ir.Graph:
    """The same network with each TopK made of Picks. Raises CompileError where that can't be."""
    if not any(isinstance(op, ir.TopK) for op in graph.operators):
        return graph
    read = {port.tensor for port in graph.outputs} | {block.tensor for op in graph.operators for block in op.inputs}
    operators = list[ir.Operator]()
    for op in graph.operators:
        operators += _Picks(op, parameters, read).operators if isinstance(op, ir.TopK) else [op]
    blocks = [block for op in operators for block in (*op.inputs, *op.outputs)]
    tensors = {t.name: t for t in [port.tensor for port in graph.inputs] + [block.tensor for block in blocks]}
    return replace(graph, operators=tuple(operators), tensors=tensors)


class _Picks:
    """operators: that do ``op`` for those of its results that are in ``read``."""

    def __init__(self, op: ir.TopK, parameters: MachineParameters, read: set[ir.Tensor]) -> None:
        self._op, self._word, self.operators = op, parameters.word_bytes, list[ir.Operator]()
        self._longest = parameters.row_elements // self._word * self._word
        self._few = -(-op.values.cols // self._word) * self._word  # that are left of a run: whole words
        if self._longest < 2 * self._few:
            raise self._refused(f"row_elements must be at least {2 * self._few} for its {op.values.cols}")
        results = {name: out for name, out in ((VALUES, op.values), (ROWS, op.rows), (COLS, op.cols)) if out.tensor in read}
        found = self._of_rows(results)
        while found[VALUES].cols > self._longest:
            parts = list(self._parts(found))
            found = self._left(parts, self._counts(parts))
        for name, out in results.items():
            self._pick(found, name, out)

    def _refused(self, reason: str) -> CompileError:
        return CompileError(f"{self._op.node}: {reason} ({self._op})")

    def _of_rows(self, results: Mapping[str, ir.Block]) -> Run:
        """What is left of each row, or all of a single short one, with the numbers of rows that are the same in any run."""
        a, labels = self._op.a, {COLS: ir.numbers_of(self._op.a.cols)} if COLS in results else {}
        runs = [part for row in range(a.rows) for part in self._parts({VALUES: replace(a, row=a.row + row, rows=1), **labels})]
        alone = len(runs) == 1
        counts = [a.cols] if alone else self._counts(runs)
        numbers = np.repeat(np.repeat(np.arange(a.rows), len(runs) // a.rows), counts).astype(np.int16)[None]
        rows = replace(self._op.rows.tensor, name=f"{self._op.name}.{ROWS}", cols=numbers.size, data=numbers).whole
        found = runs[0] if alone else self._left(runs, counts)
        return {**found, ROWS: rows} if ROWS in results else found

    def _parts(self, run: Run) -> Iterator[Run]:
        """The run in parts that the machine can pick from, each from a word on, and about as long as the others."""
        cols = run[VALUES].cols
        words, parts = -(-cols // self._word), -(-cols // self._longest)
        starts = [self._word * (words * part // parts) for part in range(parts)]
        for start, stop in zip(starts, [*starts[1:], cols], strict=True):
            yield {name: replace(block, col=block.col + start, cols=stop - start) for name, block in run.items()}

    def _counts(self, runs: Sequence[Run]) -> list[int]:
        """How many are left of each of the runs. Raises CompileError where they don't fill words."""
        counts = [min(self._few, run[VALUES].cols) for run in runs]
        if any(count % self._word for count in counts[:-1]):
            raise self._refused(f"its rows must have at least {self._few} elements, or fill words of {self._word}")
        return counts

    def _left(self, runs: Sequence[Run], counts: Sequence[int]) -> Run:
        """The ``counts`` largest of the runs, side by side."""
        starts, level, found = np.cumsum([0, *counts]).tolist(), len(self.operators), dict[str, ir.Block]()
        for name, block in runs[0].items():
            name_of_all = f"{self._op.name}.{name}.{level}"
            found[name] = replace(block.tensor, name=name_of_all, rows=1, cols=starts[-1], data=None).whole
        for run, start, count in zip(runs, starts, counts, strict=False):
            for name, block in found.items():
                self._pick(run, name, replace(block, col=start, cols=count))
        return found

    def _pick(self, run: Run, name: str, out: ir.Block) -> None:
        pick = f"{self._op.name}.{len(self.operators)}"
        self.operators.append(ir.Pick(name=pick, node=self._op.node, by=run[VALUES], labels=run[name], out=out))
