"""Attention on keys and values that stay in external memory, as those of earlier tokens do when text is generated (SpAtten,
arXiv 2012.09852): only what still matters is fetched, head by head.

tokens: those that received most attention in the layers before; heads: those whose results were largest. A head's values: those with the
largest shares. Keys: at first the high bits alone, and the low ones where the shares came out flat.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...rtl.arch.steps import IMPORTANCE_ADDS, IMPORTANCE_BEGINS
from .. import graph as ir
from ..compiler.errors import CompileError
from ..golden.planes import HIGH_BITS
from .head_choice import HeadChoice
from .layers import Layer, layers_of
from .rewrite import are_below, are_beside, new_block, of_columns, with_operators
from .shares import Pruning, left_over


def cached_layers(graph: ir.Graph) -> list[Layer]:
    """The layers of attention whose keys and values are inputs."""
    inputs = {port.tensor.name for port in graph.inputs}

    def of_inputs(op: ir.MatMul) -> bool:
        return all(part.b.tensor.name in inputs for part in op.parts)

    return [layer for layer in layers_of(graph) if of_inputs(layer.scores) and of_inputs(layer.mix)]


def prune_cached(graph: ir.Graph, layers: Sequence[Layer], pruning: Pruning) -> ir.Graph:
    """The graph with the layers fetching what they need.

    Raises
    ------
    CompileError
        If a layer can't: names the node.
    """
    rewriter = _Rewriter(graph, pruning, len(layers))
    by_operator = {op.name: layer for layer in layers for op in layer.operators}
    for op in graph.operators:
        layer = by_operator.get(op.name)
        if layer is None:
            rewriter.copy(op)
        elif op is layer.softmax:
            rewriter.layer(layer)
    return rewriter.graph()


@dataclass(frozen=True, kw_only=True)
class _Head:
    """The operators of a head, in the stages in which heads take turns. shares: the results of its softmax."""

    keys: list[ir.Operator]
    scores: list[ir.Operator]
    values: list[ir.Operator]
    mix: list[ir.Operator]
    shares: ir.Block


class _Rewriter:
    """tokens: labels of those that are left, None for all. choice: of heads."""

    def __init__(self, graph: ir.Graph, pruning: Pruning, layers: int) -> None:
        self._graph, self._pruning = graph, pruning
        self._inputs = {port.tensor.name: port for port in graph.inputs}
        self._operators: list[ir.Operator] = []
        self._tokens: ir.Block | None = None
        self._choice = HeadChoice(layers)
        self._done = 0  # layers

    def graph(self) -> ir.Graph:
        self._choice.check(self._graph)
        return with_operators(replace(self._graph, inputs=tuple(self._inputs.values())), self._operators)

    def copy(self, op: ir.Operator) -> None:
        """An operator that is no attention."""
        self._operators += self._choice.copy(op)

    def layer(self, layer: Layer) -> None:
        self._check(layer)
        left, out = self._choice.left(layer), self._choice.results(layer)
        tokens = layer.softmax.a.cols if self._tokens is None else self._tokens.cols
        all_heads = [self._head(layer, j, tokens, out) for j in range(left)]
        # The keys of the head after the next one are fetched before what waits for the shares of this one.
        for j in range(-2, left + 1):
            for stage, number in (("keys", j + 2), ("scores", j), ("values", j), ("mix", j - 1)):
                if 0 <= number < left:
                    self._operators += getattr(all_heads[number], stage)
        number, self._done = self._done, self._done + 1
        if number < len(self._pruning.tokens):
            self._pick_tokens(layer, all_heads[-1].shares, self._pruning.tokens[number])
        if number < len(self._pruning.heads):
            self._operators += self._choice.choose(layer, left_over(self._pruning.heads[number], layer.heads))

    def _check(self, layer: Layer) -> None:
        softmax, pruning, scores, q = layer.softmax, self._pruning, layer.scores, layer.scores.parameters
        if softmax.parameters.length < softmax.a.cols:
            raise CompileError(f"{softmax.node}: keys that are fetched can't be masked")
        if pruning.values < 1 and layer.queries > 1:
            raise CompileError(f"{softmax.node}: values can be left out for one query, not for {layer.queries}")
        if not scores.b_transposed or layer.mix.b_transposed:
            raise CompileError(f"{softmax.node}: keys and values that are fetched must have a row for each token")
        if pruning.progressive and (q.b_zero_point or q.bias.any() or (q.shift < HIGH_BITS).any()):
            raise CompileError(f"{scores.node}: keys in two parts must have the zero point 0, and their products no bias")

    def _head(self, layer: Layer, j: int, tokens: int, out: ir.Tensor) -> _Head:
        """The ``j``-th of those that are left."""
        scores, softmax, pruning = layer.scores, layer.softmax, self._pruning
        name, parts = f"{softmax.name}.{j}", layer.scores.parts
        fetches, queries, width = list[ir.Operator](), parts[j].a, parts[0].b.cols
        if self._choice.labels is not None:
            queries = new_block(f"{name}.queries", queries)
            fetches.append(self._fetch(queries, scores.node, [part.a for part in parts], j))
        rows = {"rows": layer.queries, "cols": tokens}
        s, p = (new_block(f"{name}.{what}", block, **rows) for what, block in (("scores", softmax.a), ("shares", softmax.out)))
        parameters = of_columns(scores, tokens)
        softmaxed = {
            "name": name,
            "node": softmax.node,
            "a": s,
            "out": p,
            "parameters": replace(softmax.parameters, length=tokens, rows=1),
        }
        begins = self._done == 0 and j == 0
        importance = (IMPORTANCE_BEGINS if begins else IMPORTANCE_ADDS) if self._done < len(pruning.tokens) else 0
        product = {"node": scores.node, "b_transposed": True}
        blocks, threshold = [part.b for part in parts], None
        keys = first = new_block(f"{name}.keys", blocks[0], rows=tokens)
        again, at_first = list[ir.Operator](), parameters
        if pruning.progressive:
            blocks, low = self._planes(blocks)
            keys = new_block(f"{name}.keys", blocks[0], rows=tokens, cols=2 * width)
            first, second = (replace(keys, col=col, cols=width) for col in (0, width))
            at_first = replace(parameters, shift=parameters.shift - HIGH_BITS)
            both = replace(parameters, factors=np.repeat([[1 << HIGH_BITS], [1]], tokens, axis=1))
            threshold, part = _threshold(p.tensor, pruning.progressive), ir.MatMulPart(a=queries, b=keys, out=s)
            again = [
                replace(self._fetch(second, scores.node, low, j, self._tokens), when=name),
                ir.MatMul(name=f"{scores.name}.{j}.again", parts=(part,), parameters=both, planes=True, when=name, **product),
                ir.Softmax(**{**softmaxed, "name": f"{name}.again"}, when=name),
            ]
        fetches.append(self._fetch(first, scores.node, blocks, j, self._tokens))
        part = ir.MatMulPart(a=queries, b=first, out=s)
        stage = [
            ir.MatMul(name=f"{scores.name}.{j}", parts=(part,), parameters=at_first, **product),
            ir.Softmax(**softmaxed, importance=importance, threshold=threshold),
            *again,
        ]
        values, shares, weights = self._values(layer, j, p)
        part = ir.MatMulPart(a=shares, b=weights, out=replace(layer.mix.parts[j].out, tensor=out))
        last = replace(layer.mix, name=f"{layer.mix.name}.{j}", parts=(part,))
        return _Head(keys=fetches, scores=stage, values=values, mix=[last], shares=p)

    def _values(self, layer: Layer, j: int, shares: ir.Block) -> tuple[list[ir.Operator], ir.Block, ir.Block]:
        """What fetches a head's values; the shares that are taken, and their values."""
        node, name, blocks = layer.mix.node, f"{layer.softmax.name}.{j}", [part.b for part in layer.mix.parts]
        k, labels, picks = left_over(self._pruning.values, shares.cols), self._tokens, list[ir.Operator]()
        if k < shares.cols:
            of_all = labels or ir.numbers_of(shares.cols)
            labels, kept = new_block(f"{name}.places", of_all, cols=k), new_block(f"{name}.kept", shares, cols=k)
            picks = [
                ir.Pick(name=f"{name}.{what}", node=node, by=shares, labels=row, out=out)
                for what, row, out in (("places", of_all, labels), ("kept", shares, kept))
            ]
            shares = kept
        values = new_block(f"{name}.values", blocks[0], rows=k)
        return [*picks, self._fetch(values, node, blocks, j, labels)], shares, values

    def _planes(self, keys: Sequence[ir.Block]) -> tuple[list[ir.Block], list[ir.Block]]:
        """The high and the low bits of keys, of which an input is made."""
        (tensor,) = {block.tensor for block in keys}
        port = self._inputs[tensor.name]
        if not port.planes:
            port = replace(port, tensor=replace(tensor, rows=2 * tensor.rows, bits=4), planes=True)
            self._inputs[tensor.name] = port
        high = [replace(block, tensor=port.tensor) for block in keys]
        return high, [replace(block, row=block.row + tensor.rows) for block in high]

    def _fetch(self, out: ir.Block, node: str, blocks: Sequence[ir.Block], j: int, numbers: ir.Block | None = None) -> ir.Fetch:
        """The block of the ``j``-th head that is left, of the ``blocks`` of all heads; of that the rows with the ``numbers``."""
        about = {"name": f"{out}.fetch", "node": node, "out": out, "numbers": numbers}
        if self._choice.labels is None:
            return ir.Fetch(**about, source=blocks[j])
        beside = are_beside(blocks)
        is_outside = blocks[0].tensor.name in self._inputs or blocks[0].tensor.data is not None
        if not (is_outside and (beside or are_below(blocks))):
            raise CompileError(
                f"{node}: {blocks[0].tensor} must be an input, or a constant, with a block for each head, to leave heads out"
            )
        return ir.Fetch(**about, source=blocks[0], shift=replace(self._choice.labels, col=j, cols=1), beside=beside)

    def _pick_tokens(self, layer: Layer, shares: ir.Block, share: float) -> None:
        k = left_over(share, layer.softmax.a.cols, self._pruning.protected)
        if k < shares.cols:
            labels = self._tokens or ir.numbers_of(shares.cols)
            name, node = f"{layer.softmax.name}.picked", layer.softmax.node
            self._tokens = new_block(name, labels, cols=k)
            about = {"by": shares, "labels": labels, "out": self._tokens, "protected": self._pruning.protected}
            self._operators.append(ir.Pick(name=f"{name}.pick", node=node, **about, importance=True))


def _threshold(shares: ir.Tensor, share: float) -> int:
    """A share as a number of the tensor."""
    return max(shares.format.min, min(shares.format.max, round(share / shares.scale) + shares.zero_point))
