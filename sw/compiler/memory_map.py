"""What lies in the scratchpad, where, and from which operator to which: for people to look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from .. import graph as ir
from .plan import Plan
from .replay import replay


@dataclass(frozen=True, kw_only=True)
class Place:
    """Of a tensor or table: words from ``address`` on, while the steps ``first`` to ``last`` run. tensor: whose numbers they are. fetched:
    from external memory at step ``first``. spilled: stored there, to be loaded again. lasting: a constant, loaded before the first run."""

    tensor: str
    address: int
    words: int
    first: int
    last: int
    fetched: bool
    spilled: bool
    lasting: bool


@dataclass(frozen=True, kw_only=True)
class MemoryMap:
    """steps: names of operators, one a step. words: of the scratchpad, of which those from ``staging`` on are for what passes through.
    word_bytes: of each. moved, compulsory: bytes to and from external memory in a run, and what every plan moves of that."""

    steps: tuple[str, ...]
    places: tuple[Place, ...]
    words: int
    staging: int
    word_bytes: int
    moved: int
    compulsory: int

    @classmethod
    def of(cls, plan: Plan, *, words: int, word_bytes: int, slot_bytes: int) -> Self | None:
        """None of a plan with bands. Raises CompileError where the plan is wrong."""
        replayed = replay(plan)
        if replayed is None:
            return None
        transfers = [op for op in plan.graph.operators if isinstance(op, ir.Transfer)]
        copies = {op.out.tensor.name: op.node for op in transfers}
        loaded, stored = ({op.out.tensor.name for op in transfers if not op.stores}, {op.node for op in transfers if op.stores})
        places = tuple(
            Place(
                tensor=copies.get(stay.tensor, stay.tensor),
                address=address,
                words=replayed.problem.tensors[stay.tensor].size,
                first=stay.first,
                last=stay.last,
                fetched=stay.fetched or stay.tensor in loaded,
                spilled=stay.tensor in stored,
                lasting=stay.tensor in replayed.schedule.lasting,
            )
            for stay, address in zip(replayed.schedule.stays, replayed.addresses, strict=True)
        )
        return cls(
            steps=tuple(operation.name for operation in replayed.problem.operations),
            places=places,
            words=words,
            staging=plan.staging[0],
            word_bytes=word_bytes,
            moved=replayed.traffic.moved * slot_bytes,
            compulsory=replayed.compulsory * slot_bytes,
        )

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """From what a manifest says, untrusted. Raises KeyError, TypeError or ValueError."""
        numbers, flags = ("address", "words", "first", "last"), ("fetched", "spilled", "lasting")
        places = (
            Place(tensor=str(p["tensor"]), **{name: int(p[name]) for name in numbers}, **{name: bool(p[name]) for name in flags})
            for p in value["places"]
        )
        counts = {name: int(value[name]) for name in ("words", "staging", "word_bytes", "moved", "compulsory")}
        return cls(steps=tuple(str(name) for name in value["steps"]), places=tuple(places), **counts)
