"""In which orders a machine may run steps."""

from collections.abc import Sequence

import numpy as np
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import WAITS, Engine, Step
from celosia.rtl.arch.workers import Worker, workers_of


def a_waits(step: Step) -> dict[Engine, int]:
    """What must be complete before the step reads a."""
    return {e: step.command.get(f"a_{wait}", 0) for wait, e in zip(WAITS, Engine, strict=True)}


def any_legal_order(steps: Sequence[Step], machine: MachineParameters, seed: int) -> list[Step]:
    """As workers at random speeds would run them."""
    random = np.random.default_rng(seed)
    number = [sum(s.engine is step.engine for s in steps[:i]) for i, step in enumerate(steps)]
    queues: dict[Worker, list[int]] = {}
    for i, worker in enumerate(workers_of(steps, machine)):
        queues.setdefault(worker, []).append(i)
    done: dict[Engine, set[int]] = {engine: set() for engine in Engine}
    order = []

    def may_run(step: Step) -> bool:
        waits = [*step.waits.items(), *a_waits(step).items()]
        return all(done[engine] >= set(range(count)) for engine, count in waits)

    while len(order) < len(steps):
        ready = [queue for queue in queues.values() if queue and may_run(steps[queue[0]])]
        assert ready, "the steps wait for each other"
        i = ready[int(random.integers(len(ready)))].pop(0)
        done[steps[i].engine].add(number[i])
        order.append(steps[i])
    return order
