"""Attention on keys and values that stay in external memory, as those of earlier tokens do when text is generated (SpAtten,
arXiv 2012.09852): only what still matters is fetched, head by head.

tokens: those that received most attention in the layers before; heads: those whose results were largest. A head's values: those with the
largest shares. Keys: at first the high bits alone, and the low ones where the shares came out flat.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...rtl.arch.formats import INT8, INT16
from ...rtl.arch.steps import IMPORTANCE_ADDS, IMPORTANCE_BEGINS
from .. import graph as ir
from ..compiler.errors import CompileError
from ..golden.activation import ActivationTable
from ..golden.add import AddParameters
from ..golden.matmul import MatMulParameters
from ..golden.planes import HIGH_BITS
from .rewrite import are_below, are_beside, new_block, numbers_of, of_columns, with_operators
from .shares import Pruning, left_over


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Attention on keys and values that are inputs: a part of each product for each head."""

    scores: ir.MatMul
    softmax: ir.Softmax
    mix: ir.MatMul

    @property
    def queries(self) -> int:
        return self.scores.parts[0].a.rows


def cached_layers(graph: ir.Graph) -> list[_Layer]:
    """The layers of attention whose keys and values are inputs."""
    inputs = {port.tensor.name for port in graph.inputs}

    def of_inputs(op: ir.Operator) -> bool:
        return isinstance(op, ir.MatMul) and all(part.b.tensor.name in inputs for part in op.parts)

    layers = []
    for softmax in graph.operators:
        if isinstance(softmax, ir.Softmax):
            scores = [op for op in graph.operators if any(block.tensor is softmax.a.tensor for block in op.outputs)]
            mixes = [op for op in graph.operators if any(block.tensor is softmax.out.tensor for block in op.inputs)]
            if len(scores) == len(mixes) == 1 and of_inputs(scores[0]) and of_inputs(mixes[0]):
                layers.append(_Layer(scores=scores[0], softmax=softmax, mix=mixes[0]))  # pyright: ignore[reportArgumentType] - products
    return layers


def prune_cached(graph: ir.Graph, layers: Sequence[_Layer], pruning: Pruning) -> ir.Graph:
    """The graph with the layers fetching what they need.

    Raises
    ------
    CompileError
        If a layer can't: names the node.
    """
    rewriter = _Rewriter(graph, pruning, len(layers))
    by_operator = {op.name: layer for layer in layers for op in (layer.scores, layer.softmax, layer.mix)}
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
    """tokens, heads: labels of those that are left, None for all; head_scores: importance of these heads."""

    def __init__(self, graph: ir.Graph, pruning: Pruning, layers: int) -> None:
        self._graph, self._pruning, self._layers = graph, pruning, layers
        self._inputs = {port.tensor.name: port for port in graph.inputs}
        self._operators: list[ir.Operator] = []
        self._tokens: ir.Block | None = None
        self._heads: ir.Block | None = None
        self._head_scores: ir.Block | None = None
        # Of tensors with a block for each head: what they have become, and which heads.
        self._fewer: dict[str, tuple[ir.Tensor, ir.Block]] = {}
        self._done = 0  # layers

    def graph(self) -> ir.Graph:
        for port in self._graph.outputs:
            if port.tensor.name in self._fewer:
                raise CompileError(f"output {port.name} has values of each head, which can't be left out")
        return with_operators(replace(self._graph, inputs=tuple(self._inputs.values())), self._operators)

    def copy(self, op: ir.Operator) -> None:
        """An operator that is no attention."""
        fewer = [self._fewer[block.tensor.name] for block in op.inputs if block.tensor.name in self._fewer]
        self._operators += self._projected(op, *fewer[0]) if fewer else [op]

    def layer(self, layer: _Layer) -> None:
        self._check(layer)
        heads, out = len(layer.scores.parts), layer.mix.parts[0].out.tensor
        tokens = layer.softmax.a.cols if self._tokens is None else self._tokens.cols
        left = heads
        if self._heads is not None:
            left = self._heads.cols
            fewer = replace(out, name=f"{out.name}.{left}", cols=out.cols // heads * left)
            self._fewer[out.name], out = (fewer, self._heads), fewer
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
            self._pick_heads(layer, out, left, left_over(self._pruning.heads[number], heads))

    def _check(self, layer: _Layer) -> None:
        softmax, pruning, scores, q = layer.softmax, self._pruning, layer.scores, layer.scores.parameters
        if softmax.parameters.length < softmax.a.cols:
            raise CompileError(f"{softmax.node}: keys that are fetched can't be masked")
        if (pruning.values < 1 or pruning.heads) and layer.queries > 1:
            raise CompileError(f"{softmax.node}: values and heads can be left out for one query, not for {layer.queries}")
        if not scores.b_transposed or layer.mix.b_transposed:
            raise CompileError(f"{softmax.node}: keys and values that are fetched must have a row for each token")
        if pruning.progressive and (q.b_zero_point or q.bias.any() or (q.shift < HIGH_BITS).any()):
            raise CompileError(f"{scores.node}: keys in two parts must have the zero point 0, and their products no bias")
        if pruning.heads and not are_beside([part.out for part in layer.mix.parts]):
            raise CompileError(f"{layer.mix.node}: heads can be left out where their results lie side by side")

    def _head(self, layer: _Layer, j: int, tokens: int, out: ir.Tensor) -> _Head:
        """The ``j``-th of those that are left."""
        scores, softmax, pruning = layer.scores, layer.softmax, self._pruning
        name, parts = f"{softmax.name}.{j}", layer.scores.parts
        fetches, queries, width = list[ir.Operator](), parts[j].a, parts[0].b.cols
        if self._heads is not None:
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

    def _values(self, layer: _Layer, j: int, shares: ir.Block) -> tuple[list[ir.Operator], ir.Block, ir.Block]:
        """What fetches a head's values; the shares that are taken, and their values."""
        node, name, blocks = layer.mix.node, f"{layer.softmax.name}.{j}", [part.b for part in layer.mix.parts]
        k, labels, picks = left_over(self._pruning.values, shares.cols), self._tokens, list[ir.Operator]()
        if k < shares.cols:
            of_all = labels or numbers_of(shares.cols)
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
        if self._heads is None:
            return ir.Fetch(**about, source=blocks[j])
        beside = are_beside(blocks)
        is_outside = blocks[0].tensor.name in self._inputs or blocks[0].tensor.data is not None
        if not (is_outside and (beside or are_below(blocks))):
            raise CompileError(
                f"{node}: {blocks[0].tensor} must be an input, or a constant, with a block for each head, to leave heads out"
            )
        return ir.Fetch(**about, source=blocks[0], shift=replace(self._heads, col=j, cols=1), beside=beside)

    def _pick_tokens(self, layer: _Layer, shares: ir.Block, share: float) -> None:
        k = left_over(share, layer.softmax.a.cols, self._pruning.protected)
        if k < shares.cols:
            labels = self._tokens or numbers_of(shares.cols)
            name, node = f"{layer.softmax.name}.picked", layer.softmax.node
            self._tokens = new_block(name, labels, cols=k)
            about = {"by": shares, "labels": labels, "out": self._tokens, "protected": self._pruning.protected}
            self._operators.append(ir.Pick(name=f"{name}.pick", node=node, **about, importance=True))

    def _pick_heads(self, layer: _Layer, out: ir.Tensor, heads: int, k: int) -> None:
        """By the sums of the magnitudes of their results, over all layers up to here."""
        name, node = f"{layer.softmax.name}.heads", layer.softmax.node
        zero_point, width = out.zero_point, out.cols // heads
        magnitudes = replace(out, name=f"{name}.magnitudes", zero_point=INT8.min)
        entries = tuple(min(abs(q - zero_point), 255) + INT8.min for q in range(INT8.min, INT8.max + 1))
        of_head = np.repeat(np.eye(heads, dtype=np.int8), width, axis=1)
        ones = ir.Tensor(name=f"{name}.ones", rows=heads, cols=out.cols, bits=4, scale=1.0, zero_point=0, data=of_head)
        sums = ir.Tensor(name=f"{name}.sums", rows=1, cols=heads, bits=16, scale=1.0, zero_point=0)
        unit = -(-255 * width * self._layers // INT16.max)  # so that those of all layers fit
        parameters = MatMulParameters.from_scales(
            **{"a_scale": 1.0, "a_zero_point": INT8.min, "b_scale": np.ones(heads), "b_zero_point": 0, "bias": np.zeros(heads)},
            **{"out_scale": float(unit), "out_zero_point": 0, "out": INT16, "channels": heads},
        )
        part = ir.MatMulPart(a=magnitudes.whole, b=ones.whole, out=sums.whole)
        of_one = [replace(tensor.whole, col=0, cols=width) for tensor in (out, magnitudes)]
        for j in range(heads):  # one by one, since each may start with a new word
            a, b = (replace(block, col=j * width) for block in of_one)
            self._operators.append(ir.Table(name=f"{name}.magnitude.{j}", node=node, a=a, out=b, parameters=ActivationTable(entries)))
        self._operators.append(ir.MatMul(name=f"{name}.sum", node=node, parts=(part,), b_transposed=True, parameters=parameters))
        scores = sums.whole
        if self._head_scores is not None:
            scores = new_block(f"{name}.total", scores)
            units = {
                "a_scale": 1.0,
                "a_zero_point": 0,
                "b_scale": 1.0,
                "b_zero_point": 0,
                "out_scale": 1.0,
                "out_zero_point": 0,
                "out": INT16,
            }
            total = AddParameters.from_scales(**units)
            self._operators.append(ir.Add(name=f"{name}.add", node=node, a=sums.whole, b=self._head_scores, out=scores, parameters=total))
        if k < heads:
            labels = self._heads or numbers_of(heads)
            self._heads, kept = new_block(f"{name}.picked", labels, cols=k), new_block(f"{name}.kept", scores, cols=k)
            for what, row, result in (("labels", labels, self._heads), ("scores", scores, kept)):
                self._operators.append(ir.Pick(name=f"{name}.pick.{what}", node=node, by=scores, labels=row, out=result))
            scores = kept
        self._head_scores = scores

    def _takes_heads(self, op: ir.MatMul) -> bool:
        """Whether it is one product of the heads' results, side by side, with constants whose columns are theirs."""
        part, *others = op.parts
        of_all = part.a.is_whole and part.a.tensor.name in self._fewer and not others and not op.groups
        return of_all and part.b.is_whole and part.b.tensor.data is not None and part.b.tensor.bits > 2 and op.b_transposed

    def _projected(self, op: ir.Operator, fewer: ir.Tensor, heads: ir.Block) -> Iterator[ir.Operator]:
        """A product with constants, of the heads that are left."""
        if not isinstance(op, ir.MatMul) or not self._takes_heads(op):
            raise CompileError(f"{op.node}: only a product of them all with constants can do with fewer heads")
        (part,) = op.parts
        width = fewer.cols // heads.cols
        weights, source = new_block(f"{op.name}.weights", part.b, cols=fewer.cols), replace(part.b, cols=width)
        for j in range(heads.cols):
            out, shift = replace(weights, col=j * width, cols=width), replace(heads, col=j, cols=1)
            yield ir.Fetch(name=f"{op.name}.weights.{j}", node=op.node, source=source, shift=shift, beside=True, out=out)
        yield replace(op, parts=(replace(part, a=fewer.whole, b=weights),))


def _threshold(shares: ir.Tensor, share: float) -> int:
    """A share as a number of the tensor."""
    return max(shares.format.min, min(shares.format.max, round(share / shares.scale) + shares.zero_point))
