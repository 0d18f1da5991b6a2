"""Token pruning: pruned networks on the golden machine against the executor, and what can't be pruned."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine, VectorOperation
from celosia.sw import graph as ir
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute, flag_of
from celosia.sw.golden.planes import to_planes
from celosia.sw.pruning import Pruning, prune
from celosia.tb.graphs import Builder, random_inputs
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from random_graphs import cached, machines, prunings, run_on_golden_machine, transformer

MACHINE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=8, row_elements=64, pruning=1)


MACHINE_WITH_FACTORS = replace(MACHINE, factor_bits=8)


def assert_runs(graph: ir.Graph, machine: MachineParameters) -> None:
    program, inputs = compile_graph(graph, machine), random_inputs(graph, 1)
    values = execute(graph, inputs, lanes=machine.lanes)
    found = run_on_golden_machine(program, inputs)
    for port in graph.outputs:
        assert (found[port.name] == values[port.tensor.name]).all(), port.name


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), machines())
def test_pruned_networks_compute_what_the_executor_does(data: st.DataObject, machine: MachineParameters) -> None:
    if machine.lanes & (machine.lanes - 1):
        reject()
    causal, layers = data.draw(st.booleans()), data.draw(st.integers(1, 3))
    graph = transformer(layers, heads=data.draw(st.integers(1, 4)), width=data.draw(st.integers(1, 9)), length=int(causal))
    pruned = prune(graph, data.draw(prunings(layers, fetched=False)))
    try:
        assert_runs(pruned, replace(machine, pruning=1))
    except CompileError:
        reject()


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), machines())
def test_what_is_not_fetched(data: st.DataObject, machine: MachineParameters) -> None:
    if machine.lanes & (machine.lanes - 1):
        reject()
    layers = data.draw(st.integers(1, 3))
    graph = cached(layers, heads=data.draw(st.integers(1, 4)), width=data.draw(st.integers(1, 20)), seed=data.draw(st.integers(0, 99)))
    pruned = prune(graph, data.draw(prunings(layers, fetched=True)))
    try:
        assert_runs(pruned, replace(machine, pruning=1, factor_bits=8))
    except CompileError:
        reject()


def test_fewer_tokens_from_layer_to_layer() -> None:
    graph = prune(transformer(), Pruning(tokens=(0.75, 0.3)))
    picks = [op for op in graph.operators if isinstance(op, ir.Pick)]
    assert [(op.by.cols, op.out.cols) for op in picks] == [(12, 9), (9, 4)]
    program = compile_graph(graph, MACHINE)
    steps = [step.command for step in program.body if step.engine is Engine.VECTOR]
    softmax = [c["importance"] for c in steps if c["operation"] == VectorOperation.SOFTMAX]
    assert softmax[0] == 2
    assert set(softmax[1:]) == {1}
    assert [c["length"] for c in steps if c["operation"] == VectorOperation.TOPK] == [9, 4]
    assert_runs(graph, MACHINE)


@pytest.mark.parametrize(("width", "groups"), [(5, 0), (8, 0), (12, 2)])
def test_fewer_heads_from_layer_to_layer(width: int, groups: int) -> None:
    graph = prune(transformer(3, heads=4, width=width, groups=groups), Pruning(heads=(0.75, 0.5)))
    products = [op for op in graph.operators if isinstance(op, ir.MatMul) and len(op.parts) > 1]
    assert [len(op.parts) for op in products if op.b_transposed and not op.shift] == [4, 3, 2]
    assert [len(op.parts) for op in products if op.shift] == [3, 3, 3, 2, 2, 2]
    machine = replace(MACHINE_WITH_FACTORS if groups else MACHINE, scratchpad_kib=32)
    assert_runs(graph, machine)
    # Of the weights of queries, keys and values, of their channels and factors, and of the weights of the product of the results.
    steps = [step.command for step in compile_graph(graph, machine).body if step.engine is Engine.LOAD]
    assert sum(c.get("shifted", 0) for c in steps) == (3 * (3 if groups else 2) + 1) * (3 + 2)


def test_heads_that_are_left_are_those_with_the_largest_results() -> None:
    graph = transformer(2, heads=4, width=8)
    pruned, inputs = prune(graph, Pruning(heads=(0.5,))), random_inputs(graph, 1)
    values = execute(pruned, inputs, lanes=4)
    mix = [op for op in graph.operators if isinstance(op, ir.MatMul) and len(op.parts) > 1][1]
    out = mix.parts[0].out.tensor
    magnitudes = np.minimum(abs(values[out.name] - out.zero_point), 255).reshape(-1, 4, 8).mean(axis=0).sum(axis=1)
    picked = next(op.out.tensor.name for op in pruned.operators if isinstance(op, ir.Pick))
    assert set(values[picked][0].tolist()) == set(np.argsort(-magnitudes)[:2].tolist())


def of_rescaled_queries() -> ir.Graph:
    """Two layers, of which the queries are no product with constants."""
    builder = Builder(1)
    x = source = builder.tensor(12, 16, 8)
    for _ in range(2):
        q, k, v = (builder.linear(x, 16, 8) for _ in range(3))
        x = builder.linear(builder.mixed(builder.softmax(builder.scores(builder.rescale(q, 8), k, 2, 16), 8), v, 2), 16, 8)
    return builder.graph([source], [x])


def of_heads_results() -> ir.Graph:
    """A layer, and another one behind it whose results are outputs."""
    graph = transformer(2, heads=2, width=8, mean=False)
    last = [op for op in graph.operators if isinstance(op, ir.MatMul) and len(op.parts) == 2][-1]
    results = Builder(1).port(ir.GraphOutput, last.parts[0].out.tensor)
    operators = graph.operators[: graph.operators.index(last) + 1]
    return replace(graph, operators=operators, outputs=(results,))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (of_rescaled_queries(), "node11: heads can be left out where queries, keys and values are one product with constants"),
        (of_heads_results(), "output t27 has values of each head, which can't be left out"),
        (transformer(1), "there are shares of heads for 2 layers of attention, but the network has 1"),
    ],
    ids=["queries", "output", "layers"],
)
def test_fewer_heads_refused(graph: ir.Graph, message: str) -> None:
    with pytest.raises(CompileError, match=re.escape(message)):
        prune(graph, Pruning(heads=(0.5, 0.5)))


def test_a_layer_that_leaves_no_token_out_counts() -> None:
    graph = prune(transformer(), Pruning(tokens=(1.0, 0.5)))
    assert [op.importance for op in graph.operators if isinstance(op, ir.Softmax)] == [2, 1]
    assert sum(isinstance(op, ir.Pick) for op in graph.operators) == 1
    assert_runs(graph, MACHINE)


def test_without_shares_nothing_changes() -> None:
    graph = transformer()
    assert prune(graph, Pruning()) is graph


def test_a_protected_token_is_the_first_one_that_is_left() -> None:
    graph = transformer(first_only=True)
    pruned = prune(graph, Pruning(tokens=(0.25, 0.25), protected=1))
    assert_runs(pruned, MACHINE)
    values = execute(pruned, random_inputs(pruned, 1), lanes=4)
    picked = next(op.out.tensor.name for op in pruned.operators if isinstance(op, ir.Pick))
    assert values[picked][0, 0] == 0


@pytest.mark.parametrize(
    ("graph", "shares", "message"),
    [
        (transformer(), [0.9, 0.5, 0.5], "there are shares of tokens for 3 layers of attention, but the network has 2"),
        (transformer(), [0.5, 0.9], "shares of tokens must be above 0 and at most 1, and none larger than the one before, not [0.5, 0.9]"),
        (transformer(), [0.0], "shares of tokens must be above 0 and at most 1, and none larger than the one before, not [0.0]"),
        (transformer(mean=False), [0.5], "output {out} has values of each token, which can't be left out"),
        (transformer(first_only=True), [0.5], "is of single tokens, which are left out unless they are protected: these are 0"),
        (transformer(length=3), [0.5], "a mask of 3 tokens can't be kept when some are left out"),
    ],
    ids=["layers", "order", "zero", "outputs", "single", "mask"],
)
def test_refused(graph: ir.Graph, shares: list[float], message: str) -> None:
    wanted = message.format(out=graph.outputs[0].name)
    with pytest.raises(CompileError, match=re.escape(wanted)):
        prune(graph, Pruning(tokens=tuple(shares)))


def test_the_low_bits_are_fetched_where_no_share_is_large() -> None:
    """Flat scores want them, a peaked one does not."""
    graph = prune(cached(1, heads=2), Pruning(progressive=0.5))
    inputs = random_inputs(graph, 1)
    q, k = (next(port for port in graph.inputs if port.name == name) for name in ("t0", "t2"))
    zero_point = q.tensor.zero_point
    inputs["t0"] = np.full(q.shape, zero_point + 40, np.int8)
    keys = np.zeros(k.shape, np.int8)
    keys[3] = 100  # of the first head
    inputs["t2"] = keys
    values = execute(graph, inputs, lanes=4)
    softmaxes = [op.name for op in graph.operators if isinstance(op, ir.Softmax) and op.threshold is not None]
    assert [bool(values[flag_of(name)].any()) for name in softmaxes] == [False, True]
    steps = [step for step in compile_graph(graph, MACHINE_WITH_FACTORS).body if step.when]
    assert {step.engine for step in steps} == {Engine.LOAD, Engine.COMPUTE, Engine.VECTOR}
    assert {step.when for step in steps} == {1, 2}


@pytest.mark.parametrize(
    ("graph", "pruning", "message"),
    [
        (transformer(), {"values": 0.5}, "values and low bits can be left out where all keys and values are inputs"),
        (cached(queries=2), {"values": 0.5}, "values can be left out for one query, not for 2"),
        (cached(symmetric=False), {"progressive": 0.1}, "keys in two parts must have the zero point 0, and their products no bias"),
        (cached(), {"heads": (0.5, 0.6)}, "shares of heads must be above 0 and at most 1, and none larger than the one before"),
        (cached(), {"values": 1.5}, "shares of values must be above 0 and at most 1, and none larger than the one before, not [1.5]"),
        (cached(), {"progressive": 2.0}, "progressive must be a share in 0..1, not 2.0"),
    ],
    ids=["made here", "queries", "zero point", "heads", "values", "progressive"],
)
def test_fetching_refused(graph: ir.Graph, pruning: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=re.escape(message)):
        prune(graph, Pruning(**pruning))


def test_planes() -> None:
    values = np.arange(-128, 128)
    high, low = to_planes(values)
    assert (16 * high + low == np.minimum(values, 119)).all()
    assert (np.abs(values - 16 * high) <= 8)[:-8].all()
    assert {high.min(), high.max(), low.min(), low.max()} == {-8, 7}


def test_needs_a_machine_with_pruning() -> None:
    with pytest.raises(CompileError, match="what prunes, looks rows up or finds the largest needs a machine with pruning"):
        compile_graph(prune(transformer(), Pruning(tokens=(0.5,))), replace(MACHINE, pruning=0))
