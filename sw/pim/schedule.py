"""When a channel's controller gives each command: its scheduler's rule (rtl/pim/scheduler.py), event by event instead of cycle by cycle.

What may follow what, and when, is the referee's table (sw/driver/dram_rules.py), so this is a second account of the same rule.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...rtl.arch.dram import IN_MEMORY_MODE, IN_REGISTER_MODE, POSTPONED_REFRESHES, Command, Dram
from ...rtl.arch.pim import WINDOW
from ..driver.dram_rules import Scope, rules
from .operations import Operation

_MACRO_PACE = 4  # cycles from the last operation of a macro to the first of the next, as they enter the window
_BEFORE = 2  # operations before the window, on their way a cycle each
_OF_BANK = {Command.ACT, Command.PRE, Command.RD, Command.WR, Command.MAC, Command.RDCP, Command.WRCP}
_NEVER, _FOREVER = -(10**9), 10**18


class Run(NamedTuple):
    """``commands`` of a kind, ``step`` cycles apart, the first in ``cycle``; of ``row`` for ACT, ACTA."""

    cycle: int
    command: Command
    bank: int = 0
    row: int = 0
    commands: int = 1
    step: int = 1


class _History:
    """When each command was last given, and so when each may be given at the earliest."""

    def __init__(self, dram: Dram) -> None:
        self._group_banks = dram.group_banks
        self._rules: dict[Command, list[tuple[Command, Scope, int]]] = {}
        self._activates, self._faw = deque([_NEVER] * 4, maxlen=4), dram.timing.faw
        for rule in rules(dram):
            if rule.window == 1:
                self._rules.setdefault(rule.later, []).append((rule.earlier, rule.scope, rule.delay))
        self._at: dict[tuple[Command, Scope, int], int] = {}

    def earliest(self, command: Command, bank: int = 0) -> int:
        places = {Scope.CHANNEL: 0, Scope.GROUP: bank // self._group_banks, Scope.BANK: bank}
        found = 0
        for earlier, scope, delay in self._rules[command]:
            # Of commands for all banks, or to the channel, any place knows
            wide = scope is Scope.CHANNEL or command not in _OF_BANK or earlier not in _OF_BANK
            key = (earlier, Scope.CHANNEL, 0) if wide else (earlier, scope, places[scope])
            found = max(found, self._at.get(key, _NEVER) + delay)
        return max(found, self._activates[0] + self._faw) if command is Command.ACT else found

    def step(self, command: Command) -> int:
        """Cycles from one column command to the next of the same bank."""
        return max(delay for earlier, _, delay in self._rules[command] if earlier is command)

    def give(self, cycle: int, command: Command, bank: int = 0) -> None:
        self._at[command, Scope.CHANNEL, 0] = cycle
        if command in _OF_BANK:
            self._at[command, Scope.GROUP, bank // self._group_banks] = self._at[command, Scope.BANK, bank] = cycle
        if command is Command.ACT:
            self._activates.append(cycle)


class _Place:
    """An operation of the window, from `arrival` on."""

    def __init__(self, operation: Operation, arrival: int) -> None:
        self.operation, self.arrival, self.left = operation, arrival, operation.columns  # left: column commands
        self.in_row, self.in_all = operation.command in IN_MEMORY_MODE, operation.command is Command.MACA

    def shares_bank(self, other: "_Place") -> bool:
        return other.in_row and (self.in_all or other.in_all or self.operation.bank == other.operation.bank)


class ChannelSchedule:
    """The commands of a channel, and the state that they leave it in. refresh: whether it refreshes."""

    def __init__(self, dram: Dram, *, refresh: bool = True) -> None:
        self.dram = dram
        self.counts = dict.fromkeys(Command, 0)
        self._refresh = refresh
        self._history = _History(dram)
        self._now = 0  # cycle of the latest command
        self._open: dict[int, int] = {}  # rows, by bank
        self._alike = False  # one command opened the rows of all banks
        self._registers = False  # mode
        self._entered = -_MACRO_PACE  # when the latest operation came before the window
        self._arrivals = deque([0] * _BEFORE, maxlen=_BEFORE)  # of the latest ones in the window

    def run(self, operations: Iterable[Operation], start: int = 0) -> Iterator[Run]:
        """The commands of operations that come as soon as the window has a place for them, but not before ``start``."""
        waiting, window = iter(operations), deque[_Place]()
        self._entered = max(self._entered, start - _BEFORE - _MACRO_PACE)
        self._fill(window, waiting, 0)
        running: Run | None = None
        while window:
            head = window[0]
            choices = [self._row_change(place, i, window, running) for i, place in enumerate(window)]
            if running is None:
                choices.append(self._column(head))
            chosen = min((choice for choice in choices if choice), default=None, key=lambda choice: choice[:3])
            end = running.cycle + (running.commands - 1) * running.step if running else 0
            if running and (chosen is None or chosen[0] >= end):
                self._now, running = end, None
                if head.left == 0:
                    window.popleft()
                    self._fill(window, waiting, end + 2)
                continue
            assert chosen
            cycle, _, index, command = chosen
            if running is None and cycle > self._urgent:
                yield from self._refreshes()
                continue
            place = window[index]
            if command is place.operation.command:
                running = self._start(place, cycle)
                yield running
            else:
                yield self._give(cycle, command, place.operation.bank, place.operation.row)

    def _start(self, place: _Place, cycle: int) -> Run:
        """The operation's column commands, but of others than MACs only those before a refresh."""
        command, bank, row, *_ = place.operation
        step, count = self._history.step(command), place.left
        if command not in (Command.MAC, Command.MACA) and self._refresh:
            count = min(count, (self._urgent - cycle) // step + 1)
        place.left -= count
        self._history.give(cycle + (count - 1) * step, command, bank)
        self.counts[command] += count
        self._now = cycle
        return Run(cycle, command, bank, row, count, step)

    @property
    def now(self) -> int:
        """The cycle of the last command."""
        return self._now

    def _fill(self, window: deque[_Place], waiting: Iterator[Operation], free: int) -> None:
        """free: the first cycle in which an operation can be in the place that has become free."""
        while len(window) < WINDOW and (operation := next(waiting, None)):
            self._entered = max(self._entered + (_MACRO_PACE if operation.macro else 1), self._arrivals[0])
            self._arrivals.append(max(self._entered + _BEFORE, free))
            window.append(_Place(operation, self._arrivals[-1]))

    def _row_change(self, place: _Place, index: int, window: deque[_Place], running: Run | None) -> tuple[int, int, int, Command] | None:
        """The opening or closing that an operation needs: cycle, priority, index, command."""
        if not place.in_row or self._hit(place) or any(place.shares_bank(window[i]) for i in range(index)):
            return None
        closed = not self._open if place.in_all else place.operation.bank not in self._open
        commands = (Command.ACTA, Command.PREA) if place.in_all else (Command.ACT, Command.PRE)
        command = commands[0] if closed else commands[1]
        cycle = max(self._history.earliest(command, place.operation.bank), place.arrival, self._now + 1)
        if running and running.cycle <= cycle and (cycle - running.cycle) % running.step == 0:
            cycle += 1
        return cycle, 1 if closed else 2, index, command

    def _column(self, head: _Place) -> tuple[int, int, int, Command] | None:
        """The first column command of the first operation, if its row is open, or the change of mode that it needs."""
        command = head.operation.command
        if (command in IN_REGISTER_MODE and not self._registers) or (head.in_row and self._registers):
            command = Command.MRS
        elif head.in_row and not self._hit(head):
            return None
        cycle = max(self._history.earliest(command, head.operation.bank), head.arrival, self._now + 1)
        return cycle, 0, 0, command

    def _hit(self, place: _Place) -> bool:
        row = place.operation.row
        return self._alike and self._open[0] == row if place.in_all else self._open.get(place.operation.bank) == row

    def _give(self, cycle: int, command: Command, bank: int = 0, row: int = 0) -> Run:
        self._history.give(cycle, command, bank)
        self.counts[command] += 1
        self._now = cycle
        match command:
            case Command.ACTA:
                self._open, self._alike = dict.fromkeys(range(self.dram.banks), row), True
            case Command.ACT:
                self._open[bank], self._alike = row, False
            case Command.PREA:
                self._open, self._alike = {}, False
            case Command.PRE:
                del self._open[bank]
                self._alike = False
            case Command.MRS:
                self._registers = not self._registers
            case _:
                pass
        return Run(cycle, command, bank, row)

    @property
    def _urgent(self) -> int:
        """The last cycle in which no refresh must come first."""
        return (self.counts[Command.REF] + POSTPONED_REFRESHES) * self.dram.timing.refi if self._refresh else _FOREVER

    def _refreshes(self) -> Iterator[Run]:
        """All that are owed."""
        first = self._urgent + 1
        if self._open:
            yield self._give(max(self._history.earliest(Command.PREA), self._now + 1, first), Command.PREA)
        while self._now // self.dram.timing.refi > self.counts[Command.REF]:
            yield self._give(max(self._history.earliest(Command.REF), self._now + 1, first), Command.REF)
