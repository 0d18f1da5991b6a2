"""Places of a queue that are free, less those of what is on its way there; a register says whether there is any."""

from typing import Any

from amaranth.hdl import Signal, Value


def stays_positive(count: Value, *, more: Value, one_less: Value) -> Value:
    """Whether a count is above zero in the next cycle: without the sum, which would take more time."""
    return (count > 1) | more | ((count == 1) & ~one_less)


class Places:
    """left: free places. any: whether there is one."""

    def __init__(self, count: int) -> None:
        self.left, self.any = Signal(range(count + 1), init=count, name="places"), Signal(init=1, name="any_place")

    def change(self, *, taken: Value, given: Value) -> list[Any]:
        """One is taken, which must be there; one is given back."""
        return [
            self.left.eq(self.left - taken + given),
            self.any.eq(stays_positive(self.left, more=given, one_less=taken)),
        ]
