"""Which banks of the scratchpad a program uses through each port: a circuit that holds the program needs no others there."""

from collections.abc import Iterable, Mapping
from itertools import product

from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import Engine
from ...rtl.arch.workers import Worker
from .schedule import Access, PlannedStep


def banks_reached(steps: Iterable[tuple[PlannedStep, Worker]], p: MachineParameters) -> Mapping[str, frozenset[int]]:
    """By the port's name, of those that are used at all."""
    found: dict[str, set[int]] = {}
    for step, worker in steps:
        for access in step.accesses:
            for port in _ports(worker.engine, access.operand, p):
                found.setdefault(f"{worker.name}.{port}", set()).update(_banks(access, p))
    return {port: frozenset(banks) for port, banks in found.items()}


def _ports(engine: Engine, operand: str, p: MachineParameters) -> list[str]:
    """That read or write an operand; none for what is no word of the scratchpad."""
    match engine, operand:
        case _, "":
            return []
        case _, "out":
            return ["write"]
        case Engine.LOAD, "scratchpad":
            return ["write"]
        case (Engine.LOAD, _) | (Engine.STORE, _):
            return ["read"]
        case Engine.VECTOR, _:
            return [f"read_{operand}"]
        case Engine.PIM, _:
            return ["read_b" if operand == "records" else "read_a"]
        case Engine.DEFORM, _:
            return [f"read_{operand}"]
        case _, "a" | "r":
            return [f"read_{operand}"]
        case _, "b":
            return [f"read_b{i}" for i in range(p.b_words)]
    return ["read_b0"]


def _banks(access: Access, p: MachineParameters) -> Iterable[int]:
    """All from the first word of an access to its last."""
    regions = range(access.start // p.region_words, (access.end - 1) // p.region_words + 1)
    if access.end - access.start < p.interleaved:
        return {word // p.region_words * p.interleaved + word % p.interleaved for word in range(access.start, access.end)}
    return (region * p.interleaved + i for region, i in product(regions, range(p.interleaved)))
