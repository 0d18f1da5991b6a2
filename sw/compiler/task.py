"""A step before it has its place in memory."""

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from typing_extensions import Self

from ...rtl.arch.steps import Engine
from .. import graph as ir
from .layout import Buffer


@dataclass(frozen=True, kw_only=True, eq=False)
class Shift:
    """Where a number lies in the scratchpad, of blocks of ``words`` words in external memory: an element of a word of a buffer's first
    row."""

    buffer: Buffer
    word: int
    element: int
    words: int


@dataclass(frozen=True, kw_only=True)
class Ring:
    """Where a band lies in a link, of so many words: from ``position`` on."""

    link: int
    words: int
    position: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Operand:
    """A rectangle of a buffer: ``rows`` rows of ``words`` words. repeat: the one row is read again for each row of the task. spare: words
    behind each row in the staging area. shift: so many blocks before it are passed over; it always goes through the staging area. ring:
    of an operand that goes through a link, whole rows. origin: the first row of the buffer that is kept in its place."""

    buffer: Buffer
    row: int
    rows: int
    word: int
    words: int
    repeat: bool = False
    spare: int = 0
    shift: Shift | None = None
    ring: Ring | None = None
    origin: int = 0

    @property
    def stride(self) -> int:
        """Words from a row to the next in the staging area."""
        return self.words + self.spare

    @property
    def size(self) -> int:
        """Words in the staging area."""
        return self.rows * self.stride


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A step but for its addresses. command: the other fields. operands: by the name of their address field; ``out`` is written.

    walks: make the fields of operands by name from their address and the words from a row to the next, where they are more than these.
    source: what a load takes from external memory, or a store writes there, of which the command says the rest. unit: which of the
    engine's does it, or None for any.
    """

    engine: Engine
    operator: ir.Operator
    command: Mapping[str, int]
    operands: Mapping[str, Operand]
    walks: Mapping[str, Callable[[int, int], Mapping[str, int]]] = field(default_factory=dict)
    source: Operand | None = None
    unit: int | None = None

    @property
    def unplaced(self) -> Mapping[str, int]:
        """The command but for where its operands lie."""
        places = (walk(0, self.operands[name].buffer.row_words) for name, walk in self.walks.items())
        return dict(ChainMap(*map(dict, places), dict(self.command)))


MakeTask = Callable[[int, int, int, int], Task]  # of the first row, rows, first column, columns


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """How an operator, or a part of it, is cut into tasks: what makes that of some rows and columns.

    rows, cols: in all. most_rows, most_cols: of a task. col_step: tasks start at multiples of so many columns. alike: tasks of as many rows
    and columns need as much memory.
    """

    make: MakeTask
    rows: int
    cols: int
    most_rows: int
    most_cols: int
    col_step: int
    alike: bool = True

    @classmethod
    def of_one(cls, task: Task) -> Self:
        """That is not cut."""
        return cls(make=lambda *_: task, rows=1, cols=1, most_rows=1, most_cols=1, col_step=1)
