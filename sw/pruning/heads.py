"""Fewer heads from layer to layer, cascade head pruning (SpAtten, arXiv 2012.09852), where queries, keys and values are products with
constants: of these, the weights and channels of the heads that are left are fetched, by their numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .. import graph as ir
from ..compiler.errors import CompileError
from .head_choice import HeadChoice
from .layers import Layer, layers_of
from .rewrite import are_below, are_beside, new_block, with_operators
from .shares import left_over


def prune_heads(graph: ir.Graph, shares: Sequence[float]) -> ir.Graph:
    """With fewer heads after each layer that there is a share for.

    Raises
    ------
    CompileError
        If a layer can't do with fewer: names the node.
    """
    return _Rewriter(graph, shares).graph() if shares else graph


class _Rewriter:
    def __init__(self, graph: ir.Graph, shares: Sequence[float]) -> None:
        layers = layers_of(graph)
        self._graph, self._choice = graph, HeadChoice(len(layers))
        self._shares = dict(zip((layer.mix.name for layer in layers), shares, strict=False))
        self._layers = {op.name: layer for layer in layers for op in layer.operators}
        # The layers' queries, keys and values: a block for each head; by their tensor.
        self._operands: dict[str, list[list[ir.Block]]] = {}
        for layer in layers:
            for blocks in _operands_of(layer):
                self._operands.setdefault(blocks[0].tensor.name, []).append(blocks)
        # What they have become, and of which heads, by the block of the first one.
        self._made: dict[ir.Block, tuple[ir.Block, ir.Block]] = {}
        self._smaller: dict[str, ir.Tensor] = {}  # scores and shares

    def graph(self) -> ir.Graph:
        for op in self._graph.operators:
            if isinstance(op, ir.Softmax) and op.name not in self._layers:
                raise CompileError(f"{op.node}: heads can be left out where it is between two products with a part for each head")
        operators = [new for op in self._graph.operators for new in self._rewritten(op)]
        self._choice.check(self._graph, self._gone | self._smaller.keys())
        return with_operators(self._graph, operators)

    @property
    def _gone(self) -> set[str]:
        """Tensors of all heads that are not made any more."""
        return {first.tensor.name for first in self._made}

    def _rewritten(self, op: ir.Operator) -> Iterator[ir.Operator]:
        layer, labels = self._layers.get(op.name), self._choice.labels
        if labels is None:
            yield op
        elif layer:
            yield self._of_layer(op, layer, labels)
        elif isinstance(op, ir.Pick) and op.by.tensor.name in self._smaller:  # of tokens, by all attention that they received
            yield replace(op, by=self._smaller[op.by.tensor.name].whole)
        elif any(block.tensor.name in self._operands for block in op.outputs):
            yield from self._of_heads(op, labels)
        else:
            if gone := next((block for block in op.inputs if block.tensor.name in self._gone), None):
                raise CompileError(f"{op.node}: it needs {gone} of all heads")
            yield from self._choice.copy(op)
        if layer and op is layer.mix and op.name in self._shares:
            yield from self._choice.choose(layer, left_over(self._shares[op.name], layer.heads))

    def _of_heads(self, op: ir.Operator, labels: ir.Block) -> Iterator[ir.Operator]:
        """What makes queries, keys or values, of the heads that are left."""
        tensor = op.outputs[0].tensor
        for blocks in self._operands[tensor.name]:
            first, count = blocks[0], len(blocks)
            if not isinstance(op, ir.MatMul) or not _makes_channels(op) or not (are_beside(blocks) and first.rows == tensor.rows):
                raise CompileError(f"{op.node}: heads can be left out where queries, keys and values are one product with constants")
            (part,), width = op.parts, first.cols
            made = new_block(f"{tensor.name}.{first.col}.{labels.cols}", first, cols=labels.cols * width)
            weights = replace(part.b, row=first.col, rows=width)
            parts = tuple(replace(part, b=weights, out=replace(made, col=j * width, cols=width)) for j in range(labels.cols))
            parameters = op.parameters.of_channels(first.col, count * width)
            yield replace(op, name=f"{op.name}.{first.col}", parts=parts, shift=labels, parameters=parameters)
            self._made[first] = made, labels

    def _of_layer(self, op: ir.Operator, layer: Layer, labels: ir.Block) -> ir.Operator:
        """One of the layer's operators, on the heads that are left."""
        left, scores, softmax, mix = labels.cols, layer.scores, layer.softmax, layer.mix
        of_scores, of_mix = [part.out for part in scores.parts], [part.a for part in mix.parts]
        if not (are_below(of_scores) and are_below(of_mix) and softmax.a.is_whole and softmax.out.is_whole):
            raise CompileError(f"{softmax.node}: heads can be left out where their scores lie one below the other")
        a, out = (self._fewer_rows(block.tensor, layer, left) for block in (softmax.a, softmax.out))
        if op is softmax:
            return replace(softmax, a=a.whole, out=out.whole)
        queries, keys, values = _operands_of(layer)
        if op is scores:
            sides = self._columns(op, queries, labels), self._columns(op, keys, labels), [replace(b, tensor=a) for b in of_scores[:left]]
        else:
            shares, results = [replace(b, tensor=out) for b in of_mix[:left]], self._choice.results(layer)
            sides = shares, self._columns(op, values, labels), [replace(part.out, tensor=results) for part in mix.parts[:left]]
        return replace(op, parts=tuple(ir.MatMulPart(a=a, b=b, out=o) for a, b, o in zip(*sides, strict=True)))

    def _columns(self, op: ir.Operator, blocks: Sequence[ir.Block], labels: ir.Block) -> list[ir.Block]:
        """Of the queries, keys or values that are left."""
        made, of = self._made.get(blocks[0], (None, None))
        if made is None or of is not labels:
            raise CompileError(f"{op.node}: to leave heads out, {blocks[0].tensor} must be made by a product with constants, not earlier")
        width = blocks[0].cols
        return [replace(made, col=j * width, cols=width) for j in range(labels.cols)]

    def _fewer_rows(self, tensor: ir.Tensor, layer: Layer, left: int) -> ir.Tensor:
        fewer = replace(tensor, name=f"{tensor.name}.{left}", rows=tensor.rows // layer.heads * left)
        return self._smaller.setdefault(tensor.name, fewer)


def _operands_of(layer: Layer) -> tuple[list[ir.Block], list[ir.Block], list[ir.Block]]:
    """Queries, keys and values."""
    scores, mix = layer.scores.parts, layer.mix.parts
    return [part.a for part in scores], [part.b for part in scores], [part.b for part in mix]


def _makes_channels(op: ir.MatMul) -> bool:
    """Whether it is one product with constant weights, whose channels are the columns of its result."""
    part, *others = op.parts
    plain = not (others or op.window or op.residual) and op.b_transposed
    return plain and part.b.tensor.data is not None and part.b.is_whole and part.out.is_whole
