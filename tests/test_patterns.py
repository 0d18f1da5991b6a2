"""The planner: pipelines through links compute what the executor does, in an order in which nothing waits for ever; and its reasons."""

from dataclasses import replace
from pathlib import Path

import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine
from celosia.sw import graph as ir
from celosia.sw.compiler.chains import chains
from celosia.sw.compiler.fuse import fuse
from celosia.sw.compiler.patterns import Pattern, compile_graph, compile_patterns
from celosia.sw.compiler.pipeline import Assignment, Pipeline, Stage
from celosia.sw.compiler.predict import DEFAULT_RESOURCES, Resources
from celosia.sw.compiler.program import Compiler
from celosia.sw.frontend import import_model
from celosia.tb.graphs import Builder
from chains import random_chain
from deformable import LAYERS, Layer, network, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import check

MACHINE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=32, banks=8, units=4, accumulator_depth=64)
DEFORMS = replace(MACHINE, units=2, deform_kernel=3, deform_width=16, deform_free=1, deform_masked=1)
ARRAYS = (8, 8), (8, 1), (4, 8), (8, 4)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 1 << 16), st.sampled_from((1, 2, 4)), st.sampled_from(((8, 8), (8, 1), (4, 8), (8, 4))), st.sampled_from(list(Pattern))
)
def test_every_pattern_computes_what_the_executor_does(seed: int, units: int, array: tuple[int, int], pattern: Pattern) -> None:
    graph = random_chain(seed)
    machine = replace(MACHINE, units=units, rows=array[0], cols=array[1], lanes=2)
    check(compile_graph(graph, machine, pattern=pattern), graph, seed)


def perceptron(rows: int = 64) -> ir.Graph:
    builder = Builder(1)
    x = builder.tensor(rows, 32, 8)
    return builder.graph([x], [builder.linear(builder.table(builder.linear(x, 64, 8), 8), 32, 8)])


def test_dataflow_gives_each_operator_units_of_its_own() -> None:
    program = compile_graph(perceptron(), MACHINE, pattern=Pattern.DATAFLOW)
    units = {label: set[int]() for label in program.labels}
    for step, label in zip(program.body, program.labels, strict=True):
        if step.engine is Engine.COMPUTE:
            units[label].add(step.unit)
    first, second = (units[op.name] for op in program.graph.operators)
    assert first
    assert second
    assert not first & second
    assert {link.writer for link in program.plan.links} == {f"compute{unit}.write" for unit in first}
    assert {link.reader for link in program.plan.links} == {f"compute{unit}.read_a" for unit in second}


def test_a_tensor_too_large_for_the_scratchpad_goes_through_links() -> None:
    builder = Builder(1)
    x = builder.tensor(1024, 8, 8)
    graph = builder.graph([x], [builder.linear(builder.table(builder.linear(x, 64, 8), 8), 8, 8)])
    machine = replace(MACHINE, scratchpad_kib=24, bus_bytes=4)
    programs = {pattern: compile_graph(graph, machine, pattern=pattern) for pattern in Pattern}
    auto, sequential = programs[Pattern.AUTO], programs[Pattern.SEQUENTIAL]
    assert auto.plan.links
    assert auto.cycles < sequential.cycles
    assert auto.plan.words_moved < sequential.plan.words_moved
    assert auto.decision
    assert auto.decision.alternatives[0].pattern == "auto"
    assert [a.cycles for a in auto.decision.alternatives] == [auto.cycles, sequential.cycles, programs[Pattern.DATAFLOW].cycles]


def test_why_operators_follow_each_other_or_not() -> None:
    builder = Builder(1)
    x = builder.tensor(16, 16, 8)
    graph = builder.graph([x], [builder.linear(builder.attention(x, 2, 8, bits=8), 16, 8)])
    found, reasons = chains(fuse(graph, MACHINE))
    q, k, v, scores, shares, mixed, out, last = (op.name for op in graph.operators)
    assert found == [[scores, shares, mixed], [out, last]]
    assert "in parts" in reasons[q]
    assert reasons[k] == f"{scores} needs all of {graph.operators[1].outputs[0].tensor.name} at once"
    assert f"{mixed} needs all of" in reasons[v]
    assert "is an output" in reasons[last]
    q = builder.linear(x, 16, 8)
    twice = builder.graph([x], [builder.scores(q, q, 1, 8)])
    assert "needs all of" in chains(twice)[1][twice.operators[-2].name]
    assert "has one row" in chains(perceptron(1))[1][perceptron(1).operators[0].name]


def test_links_stay_within_their_budget() -> None:
    program = compile_graph(perceptron(), MACHINE, pattern=Pattern.DATAFLOW, resources=Resources(link_kib=0))
    assert not program.plan.links
    assert program.decision
    assert any("more than 0 KiB" in reason for reason in program.decision.reasons)


def test_a_band_that_no_link_holds_is_refused() -> None:
    machine = replace(MACHINE, accumulator_depth=4096, scratchpad_kib=1024)
    compiler = Compiler(perceptron(4096), machine, DEFAULT_RESOURCES, name="large")
    stages = tuple(Stage(operator=op.name, units=(unit,)) for unit, op in enumerate(compiler.network.graph.operators))
    with pytest.raises(ValueError, match=r"two bands of \d+ words do not fit a link of 32768"):
        compiler.program(Assignment(pipelines=(Pipeline(stages=stages, band=4096),)))


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_deformations_follow_their_offsets(layer: Layer, tmp_path: Path) -> None:
    graph = import_model(save(network(layer), tmp_path))
    programs = compile_patterns(graph, DEFORMS)
    for program in programs.values():
        check(program, graph)
    links = programs[Pattern.DATAFLOW].plan.links
    assert any(link.writer == "deform.write" for link in links)
    # Lines that are wider than the line buffer are not done in their order.
    assert any(link.reader == "deform.read_offsets" for link in links) == (layer.size[1] <= DEFORMS.deform_width and not layer.full)
