"""Places of a queue that are free, less those of what is on its way there; a register says whether there is any."""

from typing import Any

from amaranth.hdl import Signal, Value


class Places:
    """left: free places. any: whether there is one."""

    def __init__(self, count: int) -> None:
        self.left, self.any = Signal(range(count + 1), init=count, name="places"), Signal(init=1, name="any_place")

    def change(self, *, taken: Value, given: Value) -> list[Any]:
        """One is taken, which must be there; one is given back."""
        return [
            self.left.eq(self.left - taken + given),
            self.any.eq((self.left > 1) | given | ((self.left == 1) & ~taken)),
        ]
