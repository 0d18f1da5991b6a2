"""Embeddings by the simulated machine, and by the integer executor, which gives the same numbers sooner.

Shapes are static, so a sentence of T tokens takes the program for T tokens: nothing is padded, nothing masked. One circuit runs them all.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.rtl.arch.formats import FACTOR_BITS
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.driver.network import Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.manifest import Manifest
from numpy.typing import NDArray

from ..length import shortened
from .quantize import BUILD
from .text import CONTEXT

# With pruning it fetches the tokens' rows of the table in memory, with residual it adds sums to products on their way, with factor_bits it
# takes weights in groups.
MACHINE = MachineParameters(
    rows=16, cols=16, lanes=8, scratchpad_kib=512, banks=8, bus_bytes=16, residual=1, pruning=1, factor_bits=FACTOR_BITS
)
MEMORY = 64 << 20  # bytes of the simulated memory: the table of all tokens is most of what is in it
LATENCY = 20  # its cycles


def for_tokens(model: Path, tokens: int) -> ir.Graph:
    """The network for so many tokens. model: for CONTEXT of them, QDQ."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{model.stem}-{tokens}.onnx")
        onnx.save(shortened(onnx.load(model), tokens), path)
        return import_model(path)


def by_length(sentences: Sequence[NDArray[np.int64]]) -> Iterator[tuple[int, list[int]]]:
    """Each number of tokens with the places of the sentences that have as many. sentences: of each its tokens, [1, T]."""
    places = sorted(range(len(sentences)), key=lambda place: sentences[place].size)
    for length, group in groupby(places, key=lambda place: sentences[place].size):
        yield length, list(group)


def normalized(vectors: NDArray) -> NDArray[np.float64]:
    """[..., WIDTH], each of length 1."""
    exact = vectors.astype(np.float64)
    return exact / np.linalg.norm(exact, axis=-1, keepdims=True)


def by_executor(graph: ir.Graph, tokens: NDArray[np.int64]) -> NDArray:
    """A sentence's embedding as the machine's integers, [1, WIDTH]. tokens: [1, T]."""
    return execute(graph, {"tokens": tokens}, lanes=MACHINE.lanes)[graph.outputs[0].tensor.name]


def real(graph: ir.Graph, integers: NDArray) -> NDArray[np.float64]:
    """[WIDTH], of length 1."""
    return normalized(dequantize_output(graph.outputs[0], integers)[0])


@dataclass(frozen=True, kw_only=True)
class Run:
    """Of a sentence. integers: [1, WIDTH]. counters: by name. seconds: of the processor, for the simulation."""

    integers: NDArray
    counters: dict[str, int]
    seconds: float


class Machine:
    """The simulator with the program for one length at a time.

    graph: what that program computes. compiling: processor seconds from the file to it.
    """

    graph: ir.Graph
    network: Network
    compiling: float

    def __init__(self, library: Path) -> None:
        self.device = VerilatedDevice(library, memory_bytes=MEMORY, latency=LATENCY)

    def load(self, model: Path, tokens: int) -> None:
        """The program for so many tokens. model: for CONTEXT of them, QDQ."""
        start = time.process_time()
        self.graph = for_tokens(model, tokens)
        program = compile_graph(self.graph, MACHINE)
        self.compiling = time.process_time() - start
        self.network = Network(self.device, Manifest.of(program, rom=False))
        self.network.upload()

    def run(self, tokens: NDArray[np.int64]) -> Run:
        """tokens: [1, T], as many as the program is for."""
        start = time.process_time()
        integers = self.network.run_integers(tokens)["sentence"]
        return Run(integers=integers, counters=self.network.counters(), seconds=time.process_time() - start)


def simulator(model: Path) -> Path:
    """Built in the checkout's build folder, unless it is there (minutes). model: any that the machine can run."""
    write_project(compile_graph(for_tokens(model, CONTEXT), MACHINE), BUILD / "machine")
    return build_library(BUILD / "machine" / VERILOG, TOP, BUILD / "simulators")
