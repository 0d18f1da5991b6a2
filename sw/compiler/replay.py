"""A plan is replayed before it is used: from its tasks and addresses alone, by the planner's checker."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from .. import graph as ir
from ..pim.operator import Pim
from ..planning.check import Traffic, check
from ..planning.problem import Operation, PlanningError, Problem, Tensor
from ..planning.schedule import Schedule, Stay
from .errors import CompileError
from .places import lifetimes
from .plan import Plan
from .task import Task


@dataclass(frozen=True, kw_only=True, eq=False)
class Replay:
    """What the plan is as a schedule of the planner, whose steps are the operators in their order, those of a pipeline one. addresses: of
    its stays. compulsory: what is moved of inputs and outputs in every plan. All in words."""

    problem: Problem
    schedule: Schedule
    addresses: tuple[int, ...]
    traffic: Traffic
    compulsory: int


def replay(plan: Plan) -> Replay | None:
    """None of a plan with bands, which keeps parts of tensors, or with DRAM that computes. Raises CompileError where the plan is wrong: a
    tensor is not there when it is read, two lie in one place, or other words are moved than it says."""
    if plan.assignment.bands or any(isinstance(op, Pim) for op in plan.graph.operators):
        return None
    leader = {name: pipeline.operators[0] for pipeline in plan.assignment.pipelines for name in pipeline.operators}
    units = defaultdict[str, list[Task]](list)
    for task in plan.tasks:
        units[leader.get(task.operator.name, task.operator.name)].append(task)
    operations = tuple(_operation(plan, name, tasks) for name, tasks in units.items())
    problem = Problem(_tensors(plan, operations), operations)
    streams = {step: frozenset(operation.streams) for step, operation in enumerate(operations)}
    stays = list(_stays(plan, problem, leader))
    lasting = frozenset(stay.tensor for stay in stays if problem.tensors[stay.tensor].lasting)
    schedule = Schedule(order=range(len(operations)), stays=stays, streams=streams, lasting=lasting)
    addresses = tuple(plan.resident[stay.tensor] for stay in stays)
    try:
        traffic = check(problem, schedule, addresses, plan.staging[0])
    except PlanningError as e:
        raise CompileError(f"the memory plan is wrong: {e}") from None
    if traffic.moved != plan.words_moved:
        raise CompileError(f"the memory plan is wrong: it moves {traffic.moved} words, not {plan.words_moved}")
    ports = {port.tensor.name for port in (*plan.graph.inputs, *plan.graph.outputs)} & problem.tensors.keys()
    return Replay(problem=problem, schedule=schedule, addresses=addresses, traffic=traffic, compulsory=problem.size(ports))


def _operation(plan: Plan, name: str, tasks: list[Task]) -> Operation:
    reads, writes, streams = dict[str, None](), dict[str, None](), defaultdict[str, int](int)
    for task in tasks:
        transfer, stores = task.operator if isinstance(task.operator, ir.Transfer) else None, False
        if transfer and task.source:
            stores = transfer.stores
            (writes if stores else reads)[task.source.buffer.name] = None
            streams[task.source.buffer.name] += task.source.size
        for field, operand in task.operands.items():
            if operand.ring:
                continue
            written = field == "out" or (field == "scratchpad" and not stores)
            (writes if written else reads)[operand.buffer.name] = None
            if operand.shift or operand.buffer.name not in plan.resident:
                streams[operand.buffer.name] += operand.size
        shifts = (operand.shift for operand in (*task.operands.values(), *([task.source] if task.source else [])))
        reads |= {shift.buffer.name: None for shift in shifts if shift}
    return Operation(name, tuple(reads), tuple(writes), dict(streams))


def _tensors(plan: Plan, operations: tuple[Operation, ...]) -> dict[str, Tensor]:
    inputs, outputs = ({port.tensor.name for port in ports} for ports in (plan.graph.inputs, plan.graph.outputs))
    found = dict[str, Tensor]()
    for name in dict.fromkeys(name for operation in operations for name in (*operation.reads, *operation.writes)):
        buffer = plan.buffers[name]
        constant = buffer.data is not None
        lasting = constant and name in plan.resident
        found[name] = Tensor(name, buffer.words, stored=constant or name in inputs, wanted=name in outputs - inputs, lasting=lasting)
    return found


def _stays(plan: Plan, problem: Problem, leader: dict[str, str]) -> Iterator[Stay]:
    steps = {operation.name: step for step, operation in enumerate(problem.operations)}
    step = [steps[leader.get(op.name, op.name)] for op in plan.graph.operators]
    last = len(steps) - 1
    spans = {name: (start, end) for name, start, end in lifetimes(plan.graph, plan.assignment.groups)}
    outputs = {port.tensor.name for port in plan.graph.outputs}
    for name, tensor in problem.tensors.items():
        if name not in plan.resident:
            continue
        if tensor.lasting:
            yield Stay(tensor=name, first=0, last=last)
        else:
            start, end = spans[name]
            yield Stay(tensor=name, first=step[max(start, 0)], last=step[max(end, 0)], fetched=start < 0, spilled=name in outputs)
