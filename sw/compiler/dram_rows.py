"""What DRAM that computes holds before the first run: written row by row from external memory, through the scratchpad."""

from dataclasses import dataclass
from functools import cached_property

from ...rtl.arch.dram import MODE_FORMAT, NumberFormat
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.pim import Macro
from ...rtl.arch.steps import Engine
from ..pim.mapping import Image
from .layout import Buffer
from .schedule import Access, PlannedStep

NAME = "dram"
AT_ONCE = 4  # rows in the scratchpad, at the most: one is written while the next ones are loaded


@dataclass(frozen=True, kw_only=True, eq=False)
class DramRows:
    """image: by channel, bank and row."""

    image: Image
    parameters: MachineParameters

    @property
    def row_words(self) -> int:
        dram = self.parameters.dram
        assert dram
        return dram.row_bytes // self.parameters.word_bytes

    @cached_property
    def buffer(self) -> Buffer:
        """A row of words for each row of a bank."""
        data = b"".join(columns.tobytes() for columns in self.image.values())
        return Buffer(name=NAME, rows=len(self.image), row_words=self.row_words, data=data)

    def steps(self, external: int) -> list[PlannedStep]:
        """external: the buffer's byte offset. Before anything is in the scratchpad."""
        p, words = self.parameters, self.row_words
        dram, places = p.dram, min(AT_ONCE, p.scratchpad_words // words)
        assert dram
        fields = {"operation": Macro.SET_MODE, "channels": (1 << dram.channels) - 1, "mode": NumberFormat.INT8 << MODE_FORMAT}
        steps = [PlannedStep(engine=Engine.PIM, command=fields, accesses=(), label=NAME)]
        for number, (channel, bank, row) in enumerate(self.image):
            at, size = number % places * words, words * p.slot_bytes
            start = external + number * size
            load = {"external": start, "external_stride": 0, "rows": 1, "words": words, "scratchpad": at, "scratchpad_stride": 1}
            loaded = Access.of(at, 1, words, 1, writes=True, operand="scratchpad")
            fetched = Access.of(start, 1, size, 1, writes=False, external=True)
            place = {"channels": 1 << channel, "bank": bank, "row": row, "column": 0, "count": dram.columns}
            write = {"operation": Macro.WRITE, **place, "a": at, "length": dram.row_bytes}
            read = Access.of(at, 1, words, 1, writes=False, operand="a")
            steps += [
                PlannedStep(engine=Engine.LOAD, command=load, accesses=(fetched, loaded), label=NAME),
                PlannedStep(engine=Engine.PIM, command=write, accesses=(read,), label=NAME),
            ]
        return steps
