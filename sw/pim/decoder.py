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
from ..executor import initial_values, run_operator
from ..golden.matmul import requantize_sums
from ..golden.requantize import Int
from .cache import CacheMap, check_room
from .mapping import Columns, Image, Macros
from .placement import place
from .rows import rows_of


class PimTarget(Protocol):
    """A controller with its DRAM."""

    def load(self, image: Image) -> None:
        """Rows of the DRAM, before anything runs."""

    def run(self, macros: Macros, columns: Columns) -> Columns:
        """What the macros answer, whose data these are; a macro without ``channels`` is for all of them."""
        ...


class Decoder:
    """Loads the network's matrices, and has room for as many tokens as its graph.

    lanes: of the vector engine whose softmax it is. Raises DecoderError for a graph that is no causal sequence of one input of tokens, and
    MappingError where the device is too small.
    """

    def __init__(self, graph: ir.Graph, dram: Dram, target: PimTarget, *, lanes: int) -> None:
        self._graph, self._target, self._lanes = graph, target, lanes
        self._placement = place(graph, dram)
        (port,) = graph.inputs
        self._tokens, self.room, self.length = port.tensor.name, port.tensor.cols, 0
        self._values = initial_values(graph)
        self._sums: dict[str, Int] = {}  # of values so far, [heads, width], by the operator that weights them
        target.run(iter([(Macro.SET_MODE, {"mode": NumberFormat.INT8 << MODE_FORMAT})]), np.zeros((0, dram.column_bytes), np.uint8))
        target.load(self._placement.image(graph, self._placement.matrices))

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

    def _multiply(self, op: ir.MatMul, row: int) -> None:
        """Row ``row`` of the product."""
        part = op.parts[0]
        if op.name in self._placement.matrices:
            sums = self._product(op.name, self._row(part.a, row).astype(np.int8))
            sums -= op.parameters.a_zero_point * self._values[part.b.tensor.name].sum(axis=1)
            self._row(part.out, row)[:] = requantize_sums(sums[None], op.parameters)[0]
            return
        cache = self._placement.caches[op.name]
        new = np.array([self._row(part.b, row) for part in op.parts]).astype(np.int8)
        sums = self._scores(cache, op, new, row) if op.b_transposed else self._weighted(cache, op, new, row)
        for head, total in zip(op.parts, sums, strict=True):
            self._row(head.out, row)[: len(total)] = requantize_sums(total[None], op.parameters.of_channels(0, len(total)))[0]

    def _product(self, name: str, vector: NDArray[np.int8]) -> Int:
        """A matrix with the vector, in the DRAM."""
        of = self._placement.matrices[name]
        return of.result(self._target.run(of.macros(), of.written(vector))).astype(np.int64)

    def _scores(self, cache: CacheMap, op: ir.MatMul, key: NDArray[np.int8], row: int) -> Int:
        """[heads, tokens so far], of which the last one has this key [heads, width]."""
        tokens, data = row + 1, cache.keys(key)
        for slot in range(cache.slots):
            self._target.run(cache.key_macros(slot, row), data[slot])
        query = np.array([self._row(part.a, row) for part in op.parts]).astype(np.int8)
        self._target.run(cache.query_macros(), cache.queries(query))
        slots = (self._target.run(cache.score_macros(slot, tokens), cache.score_data(tokens)) for slot in range(cache.slots))
        return cache.scores(np.concatenate([*slots]), tokens).astype(np.int64)

    def _weighted(self, cache: CacheMap, op: ir.MatMul, value: NDArray[np.int8], row: int) -> Int:
        """[heads, width], of tokens of which the last one has this value [heads, width]."""
        self._target.run(cache.scatter_macros(row), cache.scattered(value))
        self._sums[op.name] = self._sums.get(op.name, 0) + value.astype(np.int64)
        tokens = row + 1
        weights = np.array([self._row(part.a, row)[:tokens] for part in op.parts]).astype(np.int8)
        macros = (macro for slot in range(cache.slots) for macro in cache.value_macros(slot, tokens))
        sums = cache.weighted(self._target.run(macros, cache.probabilities(weights)))
        return sums - op.parameters.a_zero_point * self._sums[op.name]

    def _row(self, block: ir.Block, row: int) -> Int:
        return self._values[block.tensor.name][block.row + row, block.slices[1]]
