"""The workers of a machine: what takes steps from the sequencer. An engine is one worker, or several alike."""

from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import NamedTuple

from .parameters import MachineParameters
from .steps import Engine


class Worker(NamedTuple):
    """unit: which of the engine's workers, from 0 on. name: in signals and reports."""

    engine: Engine
    unit: int
    name: str


def workers(parameters: MachineParameters) -> tuple[Worker, ...]:
    """In the order of their engines. The steps of the compute engine are dealt to its units in turn."""
    found = []
    for engine in Engine:
        units = parameters.units if engine is Engine.COMPUTE else 1
        found += [Worker(engine, unit, engine.name.lower() + (str(unit) if units > 1 else "")) for unit in range(units)]
    return tuple(found)


def in_turn(engines: Iterable[Engine], parameters: MachineParameters) -> Iterator[Worker]:
    """Who does each step of a run, of which these are the ``engines``, in program order."""
    own = {engine: [worker for worker in workers(parameters) if worker.engine is engine] for engine in Engine}
    turns = {engine: cycle(every) for engine, every in own.items()}
    return (next(turns[engine]) for engine in engines)
