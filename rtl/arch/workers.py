"""The workers of a machine: what takes steps from the sequencer. An engine is one worker, or several alike."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .checks import require
from .parameters import MachineParameters
from .steps import Engine, Step


class Worker(NamedTuple):
    """unit: which of the engine's workers, from 0 on. name: in signals and reports."""

    engine: Engine
    unit: int
    name: str


def engines(parameters: MachineParameters) -> tuple[Engine, ...]:
    """That a machine has."""
    has = {Engine.PIM: parameters.dram, Engine.DEFORM: parameters.deform}
    return tuple(engine for engine in Engine if has.get(engine, True))


def engine_numbers(parameters: MachineParameters) -> range:
    """Up to the last of its engines."""
    return range(engines(parameters)[-1] + 1)


def workers(parameters: MachineParameters) -> tuple[Worker, ...]:
    """In the order of their engines."""
    found = []
    for engine in engines(parameters):
        units = parameters.units if engine is Engine.COMPUTE else 1
        found += [Worker(engine, unit, engine.name.lower() + (str(unit) if units > 1 else "")) for unit in range(units)]
    return tuple(found)


def require_worker(step: Step, parameters: MachineParameters) -> None:
    """Raise ParameterError if the machine has none that could do the step."""
    units = [worker.unit for worker in workers(parameters) if worker.engine is step.engine]
    require(step.unit in units, "unit", f"one of the {len(units)} of {step.engine.name.lower()}", step.unit)


def by_unit(parameters: MachineParameters) -> dict[tuple[Engine, int], Worker]:
    """By engine and unit."""
    return {(worker.engine, worker.unit): worker for worker in workers(parameters)}


def workers_of(steps: Iterable[Step], parameters: MachineParameters) -> Iterator[Worker]:
    """Who does each step."""
    own = by_unit(parameters)
    return (own[step.engine, step.unit] for step in steps)
