"""Fewer tokens from layer to layer, cascade token pruning (SpAtten, arXiv 2012.09852), where keys and values are made on the chip.

After an attention layer the most important tokens are picked, and the rows of the one tensor that all later operators start from are
gathered. All that follows is the same with fewer rows, and where tokens are columns, fewer columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...rtl.arch.formats import Multiplier
from ...rtl.arch.steps import IMPORTANCE_ADDS, IMPORTANCE_BEGINS
from .. import graph as ir
from ..compiler.errors import CompileError
from ..golden.matmul import MatMulParameters
from ..golden.softmax import SoftmaxParameters
from .rewrite import of_columns, with_operators
from .shares import Pruning, left_over


def prune_tokens(graph: ir.Graph, layers: Sequence[ir.Softmax], pruning: Pruning) -> ir.Graph:
    """With fewer rows after each layer that there is a share for."""
    left = tokens = layers[0].out.cols
    for number, (share, layer) in enumerate(zip(pruning.tokens, layers, strict=False)):
        index = next(i for i, op in enumerate(graph.operators) if op.name == layer.name)
        graph = _with_importance(graph, index, IMPORTANCE_ADDS if number else IMPORTANCE_BEGINS)
        k = left_over(share, tokens, pruning.protected)
        if k < left:
            graph, left = _pruned(graph, index, left, k, pruning.protected), k
    return graph


def _with_importance(graph: ir.Graph, index: int, importance: int) -> ir.Graph:
    op = graph.operators[index]
    assert isinstance(op, ir.Softmax)
    operators = (*graph.operators[:index], replace(op, importance=importance), *graph.operators[index + 1 :])
    return replace(graph, operators=operators)


def _pruned(graph: ir.Graph, index: int, tokens: int, k: int, protected: int) -> ir.Graph:
    """With ``k`` of ``tokens`` tokens left after the softmax at ``index``."""
    softmax = graph.operators[index]
    assert isinstance(softmax, ir.Softmax)
    place, rows = _narrow_place(graph, index, tokens)
    numbers = ir.Tensor(name=f"{softmax.name}.picked", rows=1, cols=k, bits=16, scale=1.0, zero_point=0)
    left = replace(rows, name=f"{rows.name}.picked", rows=k)
    node = softmax.node
    by = {"by": softmax.out, "labels": ir.numbers_of(tokens), "importance": True, "protected": protected}
    pick = ir.Pick(name=f"{softmax.name}.pick", node=node, out=numbers.whole, **by)
    gather = ir.Gather(name=f"{rows.name}.gather", node=node, a=rows.whole, numbers=numbers.whole, out=left.whole)
    shrink = _Shrink(tokens, k, protected, {rows.name: _Shrunk(left, rows=True, cols=False)})
    later = [shrink.operator(op) for op in graph.operators[place:]]
    for port in graph.outputs:
        if port.tensor.name in shrink.tensors:
            raise CompileError(f"{node}: output {port.name} has values of each token, which can't be left out")
    return with_operators(graph, (*graph.operators[:place], pick, gather, *later))


def _narrow_place(graph: ir.Graph, index: int, tokens: int) -> tuple[int, ir.Tensor]:
    """The first place after operator ``index`` where one tensor, with a row for each token, is all that the operators from there on read
    of those before; and this tensor."""
    operators = graph.operators
    for place in range(index + 1, len(operators)):
        before = {block.tensor for op in operators[:place] for block in op.outputs} | {port.tensor for port in graph.inputs}
        later = {block.tensor for op in operators[place:] for block in op.inputs} | {port.tensor for port in graph.outputs}
        live = before & later
        if len(live) == 1 and (tensor := live.pop()).rows == tokens:
            return place, tensor
    raise CompileError(f"{operators[index].node}: no tensor after it has a row for each token and all that the following operators need")


@dataclass(frozen=True)
class _Shrunk:
    """A tensor with fewer tokens. rows, cols: which of them are tokens: rows perhaps of several matrices one below the other."""

    tensor: ir.Tensor
    rows: bool
    cols: bool


class _Shrink:
    """Makes operators work on ``k`` instead of ``tokens`` tokens. tensors: those that have changed, by name."""

    def __init__(self, tokens: int, k: int, protected: int, tensors: Mapping[str, _Shrunk]) -> None:
        self._tokens, self._k, self._protected = tokens, k, protected
        self.tensors = dict(tensors)

    def operator(self, op: ir.Operator) -> ir.Operator:
        """Raises CompileError where it can't do with fewer tokens."""
        match op:
            case ir.MatMul():
                return self._product(op)
            case ir.Softmax():
                self._follow(op, op.a, op.out)
                return replace(op, a=self.block(op.a), out=self.block(op.out), parameters=self._mask(op))
            case ir.PairOperator():
                self._follow(op, op.a if op.b.tensor.data is not None else op.b, op.out)
                if self._kind(op.a) != self._kind(op.b) and op.b.rows > 1:
                    raise CompileError(f"{op.node}: {op.b} has rows for tokens that are left out of {op.a}")
                return replace(op, a=self.block(op.a), b=self.block(op.b), out=self.block(op.out))
            case ir.RowOperator():
                self._follow(op, op.a, op.out)
                return replace(op, a=self.block(op.a), out=self.block(op.out))
        raise CompileError(f"{op.node}: {type(op).__name__} can't do with fewer tokens")

    def block(self, block: ir.Block) -> ir.Block:
        """The same of the tensor that has changed, if it has."""
        shrunk = self.tensors.get(block.tensor.name)
        if shrunk is None:
            return block
        row, rows = self._scaled(block.row, block.rows, block) if shrunk.rows else (block.row, block.rows)
        col, cols = self._scaled(block.col, block.cols, block) if shrunk.cols else (block.col, block.cols)
        return ir.Block(tensor=shrunk.tensor, row=row, col=col, rows=rows, cols=cols)

    def _scaled(self, first: int, count: int, block: ir.Block) -> tuple[int, int]:
        """Of whole matrices, or of tokens that always stay."""
        if first + count <= self._protected:
            return first, count
        if first % self._tokens or count % self._tokens:
            raise CompileError(f"{block} is of single tokens, which are left out unless they are protected: these are {self._protected}")
        return first // self._tokens * self._k, count // self._tokens * self._k

    def _kind(self, block: ir.Block) -> tuple[bool, bool]:
        """Whether its rows are tokens of which some are left out, and whether its columns are."""
        shrunk = self.tensors.get(block.tensor.name)
        if shrunk is None:
            return False, False
        return shrunk.rows and block.row + block.rows > self._protected, shrunk.cols and block.col + block.cols > self._protected

    def _follow(self, op: ir.Operator, a: ir.Block, out: ir.Block) -> None:
        self._change(op, out.tensor, *self._kind(a))

    def _change(self, op: ir.Operator, tensor: ir.Tensor, rows: bool, cols: bool) -> None:
        """Make the tensor one in which these are tokens."""
        known = self.tensors.get(tensor.name)
        if known and (known.rows, known.cols) != (rows, cols):
            raise CompileError(f"{op.node}: parts of {tensor} have tokens in different places")
        if (rows or cols) and not known:
            sizes = {"rows": tensor.rows, "cols": tensor.cols}
            sizes |= {name: sizes[name] // self._tokens * self._k for name, fewer in (("rows", rows), ("cols", cols)) if fewer}
            self.tensors[tensor.name] = _Shrunk(replace(tensor, name=f"{tensor.name}.{self._k}", **sizes), rows, cols)

    def _product(self, op: ir.MatMul) -> ir.MatMul:
        if op.window or op.maximum:
            raise CompileError(f"{op.node}: a convolution can't do with fewer tokens")
        parts, parameters = list[ir.MatMulPart](), op.parameters
        for part in op.parts:
            (a_rows, a_cols), b_kind = self._kind(part.a), self._kind(part.b)
            (b_n, b_k) = b_kind if op.b_transposed else b_kind[::-1]
            a = self.block(part.a)
            if b_k and not a_cols:
                a, parameters = self._mean(op, part.a)
            elif a_cols and not b_k:
                raise CompileError(f"{op.node}: {part.b} has weights for each token, which can't be left out")
            if b_n:
                parameters = of_columns(op, self._k)
            self._change(op, part.out.tensor, a_rows, b_n)
            parts.append(ir.MatMulPart(a=a, b=self.block(part.b), out=self.block(part.out)))
        residual = op.residual and replace(op.residual, r=self.block(op.residual.r))
        return replace(op, parts=tuple(parts), parameters=parameters, residual=residual)

    def _mean(self, op: ir.MatMul, a: ir.Block) -> tuple[ir.Block, MatMulParameters]:
        """Of constants that are all equal: as many as there are tokens left, with a factor that makes up for the others."""
        data, q, ratio = a.tensor.data, op.parameters, self._k / self._tokens
        if data is None or not a.is_whole or (data != data.flat[0]).any():
            raise CompileError(f"{op.node}: {a} has weights for each token, which can't be left out")
        fewer = replace(a.tensor, name=f"{a.tensor.name}.{self._k}", cols=self._k, data=data[:, : self._k].copy())
        multipliers = [Multiplier.from_real(m / 2.0**s / ratio) for m, s in zip(q.multiplier.tolist(), q.shift.tolist(), strict=True)]
        values, shifts = (np.array([getattr(m, name) for m in multipliers], np.int64) for name in ("value", "shift"))
        return fewer.whole, replace(q, bias=np.rint(q.bias * ratio).astype(np.int64), multiplier=values, shift=shifts)

    def _mask(self, op: ir.Softmax) -> SoftmaxParameters:
        q = op.parameters
        if not self._kind(op.a)[1]:
            return q
        causal = (q.length, q.rows) == (1, self._tokens)
        if q.length < self._tokens and not causal:
            raise CompileError(f"{op.node}: a mask of {q.length} tokens can't be kept when some are left out")
        return replace(q, rows=self._k if q.rows == self._tokens else q.rows, length=min(q.length, self._k))
