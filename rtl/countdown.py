"""A count of what is left, with a register that says whether this is the last step: a comparison takes time where steps are chained."""

from typing import Any

from amaranth.hdl import Signal, Value


class Countdown:
    """left: at least 1 while counting, less by ``step`` with each step. ends: whether it is at most ``step``."""

    def __init__(self, bits: int, *, name: str, step: int = 1) -> None:
        self.left, self.ends = Signal(bits, name=f"{name}_left"), Signal(name=f"{name}_ends")
        self._step = step

    def start(self, count: Value) -> list[Any]:
        return [self.left.eq(count), self.ends.eq(count <= self._step)]

    @property
    def ends_next(self) -> Value:
        """Whether the step after this one is the last."""
        return self.left <= 2 * self._step

    def advance(self) -> list[Any]:
        return [self.left.eq(self.left - self._step), self.ends.eq(self.ends_next)]
