"""The compiler's memory plan: what leaves the scratchpad and comes back, the replay of plans, and what people see of them."""

from dataclasses import replace
from pathlib import Path

import pytest
from celosia.gen.cli import main
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.memory_map import MemoryMap
from celosia.sw.compiler.plan import Plan
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.compiler.program import Compiler
from celosia.sw.compiler.replay import replay
from celosia.sw.compiler.smallest import smallest
from celosia.sw.report.memory import memory_picture
from celosia.tb.graphs import Builder
from click.testing import CliRunner
from hypothesis import HealthCheck, given, reject, settings

from tests.random_graphs import check, graphs, machines

MACHINE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=4, banks=2)
DIGITS = Path(__file__).parents[1] / "examples" / "digits" / "digits_qdq.onnx"


def long_skip(rows: int, wide: int) -> ir.Graph:
    """What the first product makes is added to the last one's results; in between are wide tensors."""
    builder = Builder(1)
    x = builder.tensor(rows, 16, 8)
    first = y = builder.linear(x, 16, 8)
    for cols in (wide, 16, wide, 16):
        y = builder.linear(y, cols, 8)
    return builder.graph([x], [builder.add(y, first, 8)])


def compiler(graph: ir.Graph, machine: MachineParameters = MACHINE) -> Compiler:
    return Compiler(graph, machine, DEFAULT_RESOURCES, name="test")


@pytest.mark.parametrize(("rows", "wide"), [(32, 64), (48, 48), (64, 32), (96, 32)])
def test_a_long_skip_is_stored_and_loaded_again(rows: int, wide: int) -> None:
    graph = long_skip(rows, wide)
    made = compiler(graph)
    first, best = made.program(optimal=False), made.program()
    assert best.plan.words_moved < first.plan.words_moved
    assert best.cycles < first.cycles
    assert any(isinstance(op, ir.Transfer) for op in best.plan.graph.operators)
    assert best.memory
    assert any(place.spilled for place in best.memory.places)
    check(best, graph)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(graphs(), machines((1, 2, 4)))
def test_no_plan_moves_more_than_the_first(graph: ir.Graph, machine: MachineParameters) -> None:
    try:
        made = compiler(graph, machine)
        first = made.program(optimal=False)
    except CompileError:
        reject()
    best = made.program()
    assert best.cycles <= first.cycles
    check(best, graph)


def changed(plan: Plan, **resident: int) -> Plan:
    return replace(plan, resident={**plan.resident, **resident})


def test_a_wrong_plan_is_refused() -> None:
    plan = compiler(long_skip(32, 64)).program().plan
    assert replay(plan)
    one, other = list(plan.resident)[:2]
    with pytest.raises(CompileError, match=r"^the memory plan is wrong: step \d+: .* lies where .* is$"):
        replay(changed(plan, **{one: plan.resident[other]}))
    with pytest.raises(CompileError, match=r"lies outside of the scratchpad$"):
        replay(changed(plan, **{one: plan.staging[0]}))
    with pytest.raises(CompileError, match=r"^the memory plan is wrong: it moves \d+ words, not \d+$"):
        replay(replace(plan, words_moved=plan.words_moved + 1))


def test_the_smallest_scratchpad_holds_all_tensors() -> None:
    graph = long_skip(32, 64)
    made = compiler(graph)
    found = smallest(made.network, 20.0)
    assert found.least <= found.words
    constants = sum(buffer.words for buffer in made.network.buffers.values() if buffer.data is not None)
    enough = -(-(found.words + constants) * MACHINE.word_bytes // 1024)
    roomy = compiler(graph, replace(MACHINE, scratchpad_kib=1 << (enough - 1).bit_length())).program()
    assert not roomy.plan.words_staged
    assert roomy.memory
    assert roomy.memory.moved == roomy.memory.compulsory


def test_the_map_and_its_picture() -> None:
    memory = compiler(long_skip(32, 64)).program().memory
    assert memory
    assert 0 < memory.compulsory <= memory.moved
    assert all(0 <= place.address < place.address + place.words <= memory.staging for place in memory.places)
    assert all(0 <= place.first <= place.last < len(memory.steps) for place in memory.places)
    picture = memory_picture(memory)
    assert picture.startswith("<svg")
    assert "stored, to be loaded again" in picture
    with pytest.raises(KeyError, match="places"):
        MemoryMap.from_dict({})


def test_plan_command(tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    result = CliRunner().invoke(main, ["plan", str(DIGITS), "--scratchpad-kib", "32", "--smallest", "--picture", str(picture)])
    assert result.exit_code == 0, result.output
    for text in ("bytes to and from external memory in a run", "no order takes less than", "staging", "are stored to be loaded again: 0"):
        assert text in " ".join(result.output.split())
    assert picture.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scratchpad-kib", "1"], "a larger scratchpad is needed"),
        (["--pim", "aim"], "a machine with a pim has a plan for each token"),
        (["--seconds", "0"], "--seconds"),
    ],
)
def test_plan_command_refuses(options: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["plan", str(DIGITS), *options])
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.splitlines()) == 1
