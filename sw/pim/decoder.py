"""A causal network, a token at a time: the graph of each token, its products in DRAM that computes, the rest by golden models.

Its numbers are those that `execute` gives for the sequence, bit by bit.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np

from ...rtl.arch.dram import MODE_FORMAT, Dram, NumberFormat
from ...rtl.arch.pim import Macro
from .. import graph as ir
from ..executor import initial_values, run_operator
from ..golden.matmul import requantize_sums
from ..golden.pim_step import macros_of
from ..golden.requantize import Int
from .cache import check_room
from .mapping import Columns, Image, Macros
from .operator import Pim, PimCommand
from .placement import place
from .token_graph import TokenGraphs


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
        self._dram, self._target, self._lanes = dram, target, lanes
        placement = place(graph, dram)
        self._graphs = TokenGraphs(graph=graph, placement=placement, in_dram=frozenset(placement.matrices))
        self.room, self.length = placement.tokens, 0
        target.run(iter([(Macro.SET_MODE, {"mode": NumberFormat.INT8 << MODE_FORMAT})]), np.zeros((0, dram.column_bytes), np.uint8))
        target.load(placement.image(graph, placement.matrices))

    def step(self, token: int) -> Mapping[str, Int]:
        """The rows of the network's outputs at the next place, where ``token`` is. Raises MappingError when there is no more room."""
        check_room(self.room, self.length)
        graph = self._graphs.at(self.length)
        values = initial_values(graph)
        (port,) = graph.inputs
        values[port.tensor.name][:] = token
        for operator in graph.operators:
            if isinstance(operator, Pim):
                self._in_dram(operator, values)
            else:
                run_operator(operator, values, self._lanes)
        self.length += 1
        return {port.name: values[port.tensor.name][0] for port in graph.outputs}

    def _in_dram(self, op: Pim, values: dict[str, Int]) -> None:
        for command in op.commands:
            sums = self._sums(command, values)
            if command.out is None:
                continue
            out = values[command.out.tensor.name][command.out.slices]
            if command.fields.get("raw"):
                out[0] = sums.view(np.int8)
            else:
                assert op.parameters
                out[:] = requantize_sums(sums.astype(np.int64)[None], op.parameters.of_channels(0, len(sums)))

    def _sums(self, command: PimCommand, values: Mapping[str, Int]) -> np.ndarray:
        """Of a product, int32; of a macro none."""
        a = command.a
        data = np.zeros(0, np.int8) if a is None else values[a.tensor.name][a.slices][0].astype(np.int8)
        steps = [*macros_of(self._dram, command.fields, data.view(np.uint8))]
        macros: Iterator[tuple[Macro, Mapping[str, int]]] = ((macro, fields) for macro, fields, _ in steps)
        answered = self._target.run(macros, np.concatenate([columns for *_, columns in steps]))
        return answered.reshape(-1).view(np.int32)[: command.fields.get("n", 0)]
