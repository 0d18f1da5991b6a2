"""Decoders compiled for a machine with a PIM engine, on the golden machine: each token's outputs are those of the whole sequence."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import PRODUCT, Engine
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.program import Program
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.golden.machine import Machine
from celosia.sw.manifest import Manifest
from celosia.sw.pim.errors import DecoderError
from celosia.sw.pim.mapping import MappingError
from celosia.tb.graphs import Builder
from decoders import CHOICES, causal_network, compiled
from numpy.typing import NDArray
from orders import any_legal_order

from examples.gpt.quantize import QDQ_MODEL
from examples.gpt.text import encode

SMALL = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=64, pruning=1, pim="aim", pim_channels=2)
MEDIUM = MachineParameters(rows=16, cols=16, lanes=8, pruning=1, pim="aim", pim_channels=2)


def decoded(program: Program, tokens: NDArray[np.integer]) -> Iterator[Mapping[str, NDArray]]:
    """For each token the outputs by name, [cols]."""
    p, manifest = program.parameters, Manifest.of(program, rom=False)
    machine = Machine(p, program.memory_bytes)
    machine.memory[: len(program.image)] = np.frombuffer(program.image, np.uint8)
    machine.run(program.prologue)
    (port,) = manifest.inputs
    for token, body in zip(tokens.tolist(), program.positions, strict=False):
        data = port.to_memory(np.array([[token]]), p)
        machine.memory[port.offset : port.offset + len(data)] = np.frombuffer(data, np.uint8)
        machine.run(any_legal_order(body, p, token))
        found = {o.port.name: machine.memory[o.offset : o.offset + o.slots * p.slot_bytes].tobytes() for o in manifest.outputs}
        yield {o.port.name: o.from_memory(found[o.port.name], p)[0] for o in manifest.outputs}


@pytest.mark.parametrize(
    ("tokens", "cols", "heads", "width", "machine"),
    [
        (1, 8, 1, 8, SMALL),
        (5, 24, 3, 16, SMALL),
        (70, 32, 2, 80, replace(SMALL, pim_channels=4)),  # sums of several groups, and values of several parts
        (40, 40, 7, 16, replace(MEDIUM, pim_channels=2)),  # a set has more heads than the other
        (6, 2100, 2, 16, replace(MEDIUM, scratchpad_kib=256, row_elements=4096)),  # vectors longer than the global buffer
        (9, 48, 3, 16, replace(MEDIUM, pim="gddr6", pim_channels=1)),
        (9, 64, 2, 32, MachineParameters(rows=32, cols=32, lanes=16, pruning=1, pim="hbm2", pim_channels=8)),  # a word is two banks' bytes
    ],
)
def test_every_token_is_what_the_executor_has_for_the_sequence(
    tokens: int, cols: int, heads: int, width: int, machine: MachineParameters
) -> None:
    graph = causal_network(tokens, cols, heads, width)
    numbers = np.random.default_rng(1).integers(CHOICES, size=(1, tokens)).astype(np.int16)
    expected = execute(graph, {graph.inputs[0].name: numbers}, lanes=machine.lanes)
    program = compiled(graph, machine)
    for row, outputs in enumerate(decoded(program, numbers[0])):
        for port in graph.outputs:
            assert (outputs[port.name] == expected[port.tensor.name][row]).all(), (row, port)
    engines = {step.engine for step in program.body}
    assert engines == set(Engine) - {Engine.DEFORM}  # the product of three rows is faster fetched


def test_sums_of_a_long_vector_start_with_those_of_its_first_part() -> None:
    program = compiled(causal_network(2, 2100, 1, 16), replace(MEDIUM, scratchpad_kib=256, row_elements=4096))
    products = [step.command for step in program.body if step.command.get("operation") == PRODUCT]
    assert sum(command.get("starts", 0) for command in products) == sum(command.get("raw", 0) for command in products) == 4


def test_language_model() -> None:
    graph = import_model(QDQ_MODEL)
    program, text = compiled(graph, MEDIUM), encode("In the beginning")
    tokens = np.zeros((1, graph.inputs[0].tensor.cols), np.int64)
    tokens[0, : len(text)] = text
    expected = execute(graph, {"tokens": tokens}, lanes=MEDIUM.lanes)
    for row, outputs in enumerate(decoded(program, text)):
        for port in graph.outputs:
            assert (outputs[port.name] == expected[port.tensor.name][row]).all(), (row, port)


def test_what_can_not_be_decoded_is_named() -> None:
    with pytest.raises(CompileError, match=r"^node1: columns 0 to 47 of t\d+ are not contiguous"):
        compiled(causal_network(4, 600, 4, 12), SMALL)
    builder = Builder(0)
    numbers = builder.tensor(1, 4, 16, symmetric=True)
    x = builder.fetched(numbers, CHOICES, 8)
    with pytest.raises(DecoderError, match=r"^node1: a token at a time, it needs others"):
        compiled(builder.graph([numbers], [builder.softmax(x, 8)]), SMALL)
    with pytest.raises(MappingError, match="the cache needs"):
        compiled(causal_network(2100, 16, 1, 16), SMALL)
