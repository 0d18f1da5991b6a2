"""The plans of order, addresses and spills."""

from dataclasses import replace

import pytest
from celosia.sw.planning.baselines import Leaves, baseline
from celosia.sw.planning.blocks import Blocks
from celosia.sw.planning.check import check
from celosia.sw.planning.choice import Choice
from celosia.sw.planning.integer import fewest_moves, moved
from celosia.sw.planning.problem import Operation, PlanningError, Problem, Tensor, in_order
from celosia.sw.planning.schedule import Plan, Schedule, Stay
from celosia.sw.planning.solve import best_plan, smallest_plan
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plans import cheapest, problems

SECONDS = 60.0


@settings(max_examples=25, deadline=None)
@given(problems(), st.integers(0, 6))
def test_fewest_moves_are_those_of_all_orders_and_spills(problem: Problem, more: int) -> None:
    capacity = max(map(problem.least, problem.operations)) + more
    wanted = cheapest(problem, capacity)
    found = fewest_moves(problem, capacity, SECONDS, Choice.all(Blocks.of(problem)))
    assert (found.schedule is None) == (wanted is None)
    if found.schedule:
        assert moved(problem, found.schedule) == wanted
        assert found.bound == pytest.approx(wanted)


@settings(max_examples=15, deadline=None)
@given(problems(most=8), st.integers(0, 6))
def test_plans_pass_the_checker(problem: Problem, more: int) -> None:
    plan = best_plan(problem, problem.largest + more, SECONDS)
    traffic = check(problem, plan.schedule, plan.addresses, plan.capacity)
    assert (traffic.moved, traffic.exposed) == (plan.moved, plan.exposed)
    assert plan.bound <= plan.moved
    for leaves in Leaves:
        plain = Problem(problem.tensors, tuple(replace(operation, streams={}) for operation in problem.operations))
        schedule, addresses = baseline(plain, plan.capacity, leaves)
        assert check(plain, schedule, addresses, plan.capacity).moved >= plan.bound


@settings(max_examples=15, deadline=None)
@given(problems(most=7))
def test_the_smallest_scratchpad_spills_nothing(problem: Problem) -> None:
    tensors = {name: replace(tensor, lasting=False) for name, tensor in problem.tensors.items()}
    plain = Problem(tensors, tuple(replace(operation, streams={}) for operation in problem.operations))
    plan, least = smallest_plan(plain, SECONDS)
    assert plan.moved == plain.compulsory
    assert plain.largest <= least <= plan.capacity
    spilling = cheapest(plain, least - 1)
    assert spilling is None or spilling > plain.compulsory


def chain() -> Problem:
    """x is read at both ends of a chain."""
    sizes = {"x": 4, "a": 6, "b": 6, "c": 4, "y": 2}
    tensors = {name: Tensor(name, size, stored=name == "x", wanted=name == "y") for name, size in sizes.items()}
    reads = {"a": ("x",), "b": ("a",), "c": ("b",), "y": ("c", "x")}
    return Problem(tensors, tuple(Operation(f"make {out}", operands, (out,)) for out, operands in reads.items()))


def test_what_is_fetched_again_comes_while_another_operation_runs() -> None:
    tight, roomy, whole = (best_plan(chain(), capacity, SECONDS) for capacity in (12, 14, 16))
    assert [plan.moved for plan in (tight, roomy, whole)] == [10, 10, 6]
    assert [plan.exposed for plan in (tight, roomy, whole)] == [10, 6, 6]
    assert {stay.first for stay in roomy.schedule.stays if stay.tensor == "x"} == {0, 2}


def broken(plan: Plan, number: int, **changes: object) -> Schedule:
    stays = [replace(stay, **changes) if i == number else stay for i, stay in enumerate(plan.schedule.stays)]  # pyright: ignore[reportArgumentType]
    return replace(plan.schedule, stays=stays)


def test_the_checker_refuses_what_is_wrong() -> None:
    problem = chain()
    plan = best_plan(problem, 12, SECONDS)
    number = {(stay.tensor, stay.first): i for i, stay in enumerate(plan.schedule.stays)}

    def refuses(schedule: Schedule, message: str, addresses: list[int] | None = None, capacity: int = 12) -> None:
        with pytest.raises(PlanningError, match=message):
            check(problem, schedule, plan.addresses if addresses is None else addresses, capacity)

    check(problem, plan.schedule, plan.addresses, 12)
    refuses(replace(plan.schedule, order=[0, 1, 3, 2]), "step 2: c is neither made nor fetched")
    refuses(replace(plan.schedule, order=[0, 1, 2]), "does not run each operation once")
    refuses(broken(plan, number["a", 0], last=0), "make b: a is not in the scratchpad")
    refuses(broken(plan, number["x", 3], fetched=False), "x is neither made nor fetched")
    refuses(broken(plan, number["y", 3], spilled=False), "y is wanted, but not in external memory at the end")
    refuses(broken(plan, number["b", 1], fetched=True), "b is fetched, but not in external memory")
    refuses(plan.schedule, "lies where", addresses=[0] * len(plan.addresses))
    refuses(plan.schedule, "outside of the scratchpad", capacity=11)


def test_plans_that_can_not_be_are_refused() -> None:
    with pytest.raises(PlanningError, match=r"^make b takes 12 at once, but the scratchpad holds 11$"):
        best_plan(chain(), 11, SECONDS)
    x, a, b = Tensor("x", 1, stored=True), Tensor("a", 1), Tensor("b", 1, wanted=True)
    one, two = Operation("one", ("x", "b"), ("a",)), Operation("two", ("a",), ("b",))
    with pytest.raises(PlanningError, match=r"^operations wait for each other: (one, two, one|two, one, two)$"):
        in_order({"x": x, "a": a, "b": b}, [one, two])
    with pytest.raises(PlanningError, match=r"^one makes a, which nothing reads$"):
        best_plan(Problem({"x": x, "a": a}, (Operation("one", ("x",), ("a",)),)), 9, SECONDS)
    with pytest.raises(PlanningError, match=r"^one reads a, which nothing made before$"):
        Problem({"a": a, "b": b}, (Operation("one", ("a",), ("b",)),))
    with pytest.raises(PlanningError, match=r"^one: there is no tensor y$"):
        Problem({"x": x, "b": b}, (Operation("one", ("x", "y"), ("b",)),))
    with pytest.raises(PlanningError, match=r"^w is neither made nor read$"):
        Problem({"x": x, "b": b, "w": replace(x, name="w")}, (Operation("one", ("x",), ("b",)),))
    with pytest.raises(PlanningError, match=r"^a: size must be at least 1, not 0$"):
        Tensor("a", 0)
    assert in_order({"x": x, "a": a, "b": b}, [two, replace(one, reads=("x",))]).operations[0].name == "one"


def test_stays_meet() -> None:
    assert Stay(tensor="a", first=0, last=2).meets(Stay(tensor="b", first=2, last=3))
    assert not Stay(tensor="a", first=0, last=1).meets(Stay(tensor="b", first=2, last=3))
