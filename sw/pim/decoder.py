"""A causal network, a token at a time: its products in DRAM that computes, on keys and values that stay there; the rest by golden models.

The network is the graph of a whole sequence [T tokens, ...]. Row t of each tensor needs only rows up to t, and of those none again but
those of keys and values. So a step computes row t of every operator, and its numbers are those that `execute` gives for the sequence,
bit by bit.

The DRAM multiplies signed bytes without zero points. Of a product with constants the zero point of the vector is taken into account by
the sums of the matrix's rows; of that of probabilities with values by the sums of the values so far, which the decoder keeps; queries and
keys must have none.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.dram import MODE_FORMAT, Dram, NumberFormat
from ...rtl.arch.pim import Macro
from .. import graph as ir
from ..executor import run_operator
from ..golden.matmul import requantize_sums
from ..golden.requantize import Int
from .cache import CacheMap, best_cache, check_room
from .mapping import Columns, Image, Macros, MatrixMap
from .rows import DecoderError, rows_of


class PimTarget(Protocol):
    """A controller with its DRAM."""

    def load(self, image: Image) -> None:
        """Rows of the DRAM, before anything runs."""

    def run(self, macros: Macros, columns: Columns) -> Columns:
        """What the macros answer, whose data these are; a macro without ``channels`` is for all of them."""
        ...


class _Attention:
    """A layer's cache, and the sums of its values."""

    def __init__(self, cache: CacheMap) -> None:
        self.cache, self.sums = cache, np.zeros((cache.heads, cache.width), np.int64)


class Decoder:
    """Loads the network's matrices, and has room for as many tokens as its graph.

    lanes: of the vector engine whose softmax it is. Raises DecoderError for a graph that is no causal sequence of one input of tokens, and
    MappingError where the device is too small.
    """

    def __init__(self, graph: ir.Graph, dram: Dram, target: PimTarget, *, lanes: int) -> None:
        self._graph, self._dram, self._target, self._lanes = graph, dram, target, lanes
        (port,) = graph.inputs
        self._tokens, self.room, self.length = port.tensor.name, port.tensor.cols, 0
        self._values: dict[str, Int] = {name: _initial(tensor) for name, tensor in graph.tensors.items()}
        self._matrices: dict[str, MatrixMap] = {}
        self._attention: dict[str, _Attention] = {}  # by the names of keys and of values
        self._keys: set[str] = set()  # tensors
        target.run(iter([(Macro.SET_MODE, {"mode": NumberFormat.INT8 << MODE_FORMAT})]), np.zeros((0, dram.column_bytes), np.uint8))
        self._place()

    def step(self, token: int) -> Mapping[str, Int]:
        """The rows of the network's outputs at the next place, where ``token`` is. Raises MappingError when there is no more room."""
        check_room(self.room, self.length)
        row = self.length
        self._values[self._tokens][0, row] = token
        for operator in self._graph.operators:
            if isinstance(operator, ir.MatMul):
                self._multiply(operator, row)
            else:
                for single in rows_of(operator, row, self.room):
                    run_operator(single, self._values, self._lanes)
        self.length += 1
        return {port.name: self._values[port.tensor.name][row] for port in self._graph.outputs}

    def _place(self) -> None:
        row = 0
        for operator in self._graph.operators:
            if not isinstance(operator, ir.MatMul):
                continue
            _check(operator, self.room)
            part = operator.parts[0]
            b = part.b.tensor
            if b.data is not None:
                matrix = np.ascontiguousarray(b.data[part.b.slices].astype(np.int8))
                found = MatrixMap(dram=self._dram, m=matrix.shape[0], k=matrix.shape[1], row=row)
                self._matrices[operator.name] = found
                self._target.load(found.image(matrix))
                row += found.rows
            elif operator.b_transposed:
                cache = best_cache(self._dram, len(operator.parts), part.b.cols, self.room, row)
                self._keys.add(b.name)
                values = self._values_of(operator)
                self._attention[b.name] = self._attention[values] = _Attention(cache)
                row += cache.rows

    def _values_of(self, scores: ir.MatMul) -> str:
        """The tensor of the values that are weighted with the softmax of these scores."""
        made = scores.parts[0].out.tensor
        softmax = next((op for op in self._graph.operators if isinstance(op, ir.Softmax) and op.a.tensor is made), None)
        products = (op for op in self._graph.operators if isinstance(op, ir.MatMul))
        found = next((op for op in products if softmax and op.parts[0].a.tensor is softmax.out.tensor), None)
        if found is None:
            raise DecoderError(f"{scores.node}: the softmax of these scores must weight values ({scores})")
        return found.parts[0].b.tensor.name

    def _multiply(self, op: ir.MatMul, row: int) -> None:
        """Row ``row`` of the product; of keys and values, also into the cache."""
        part = op.parts[0]
        if op.name in self._matrices:
            sums = self._product(op.name, self._row(part.a, row).astype(np.int8))
            sums -= op.parameters.a_zero_point * self._values[part.b.tensor.name].sum(axis=1)
            self._row(part.out, row)[:] = requantize_sums(sums[None], op.parameters)[0]
            self._append(part.out.tensor.name, row)
            return
        attention = self._attention[part.b.tensor.name]
        sums = self._scores(attention.cache, op, row) if op.b_transposed else self._weighted(attention, op, row)
        for head, total in zip(op.parts, sums, strict=True):
            self._row(head.out, row)[: len(total)] = requantize_sums(total[None], op.parameters.of_channels(0, len(total)))[0]

    def _product(self, name: str, vector: NDArray[np.int8]) -> Int:
        """A matrix with the vector, in the DRAM."""
        of = self._matrices[name]
        return of.result(self._target.run(of.macros(), of.written(vector))).astype(np.int64)

    def _append(self, name: str, token: int) -> None:
        """A new row of keys or of values, if the tensor holds such."""
        attention = self._attention.get(name)
        if attention is None:
            return
        cache = attention.cache
        row = self._values[name][token].reshape(cache.heads, cache.width).astype(np.int8)
        if name in self._keys:
            data = cache.keys(row)
            for slot in range(cache.slots):
                self._target.run(cache.key_macros(slot, token), data[slot])
        else:
            attention.sums += row
            self._target.run(cache.scatter_macros(token), cache.scattered(row))

    def _scores(self, cache: CacheMap, op: ir.MatMul, row: int) -> Int:
        """[heads, tokens so far]."""
        tokens = row + 1
        query = np.array([self._row(part.a, row) for part in op.parts]).astype(np.int8)
        self._target.run(cache.query_macros(), cache.queries(query))
        slots = (self._target.run(cache.score_macros(slot, tokens), cache.score_data(tokens)) for slot in range(cache.slots))
        return cache.scores(np.concatenate([*slots]), tokens).astype(np.int64)

    def _weighted(self, attention: _Attention, op: ir.MatMul, row: int) -> Int:
        """[heads, width]."""
        cache, tokens = attention.cache, row + 1
        weights = np.array([self._row(part.a, row)[:tokens] for part in op.parts]).astype(np.int8)
        macros = (macro for slot in range(cache.slots) for macro in cache.value_macros(slot, tokens))
        sums = cache.weighted(self._target.run(macros, cache.probabilities(weights)))
        return sums - op.parameters.a_zero_point * attention.sums

    def _row(self, block: ir.Block, row: int) -> Int:
        return self._values[block.tensor.name][block.row + row, block.slices[1]]


def _initial(tensor: ir.Tensor) -> Int:
    return np.zeros((tensor.rows, tensor.cols), np.int64) if tensor.data is None else tensor.data.astype(np.int64)


def _check(op: ir.MatMul, tokens: int) -> None:
    """Raises DecoderError for a product that the DRAM can't compute a row at a time."""

    def require(condition: bool, reason: str) -> None:
        if not condition:
            raise DecoderError(f"{op.node}: {reason} ({op})")

    parameters, constant = op.parameters, op.parts[0].b.tensor.data is not None
    require(not (op.window or op.groups or op.shift or op.table or op.residual), "only plain products can be decoded")
    require(all(part.a.rows == part.out.rows == tokens for part in op.parts), f"it must have a row for each of {tokens} tokens")
    require(parameters.b_zero_point == 0, "the zero point of weights, keys and values must be 0")
    if constant:
        require(len(op.parts) == 1 and op.b_transposed and op.parts[0].b.is_whole, "the constants must be a whole matrix [outputs, inputs]")
    elif op.b_transposed:
        require(parameters.a_zero_point == 0, "the zero point of queries must be 0")
