"""When each command may be given to a channel: counters of what is left of every constraint, set by the commands that were given."""

import functools
import operator
from collections.abc import Mapping
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import Command, Dram, Timing
from .layouts import given_layout, is_one_of

ACT, PRE, PREA, RD, WR, REF, MRS = Command.ACT, Command.PRE, Command.PREA, Command.RD, Command.WR, Command.REF, Command.MRS
ACTA, MACA, MAC, WRGB, WRMAC, RDMAC, AF, RDCP, WRCP = (
    *(Command.ACTA, Command.MACA, Command.MAC, Command.WRGB, Command.WRMAC),
    *(Command.RDMAC, Command.AF, Command.RDCP, Command.WRCP),
)
TO_PINS = 2  # cycles from the decision for a command to the pins
LATENCY = 2  # and to its place in the counters


class Wait(NamedTuple):
    """A counter: each command of ``after`` sets it to at least so many cycles; those of ``later`` wait until no more than so many are
    left."""

    after: Mapping[Command, int]
    later: Mapping[Command, int]


def _until_done(after: Mapping[Command, int], *later: Command) -> Wait:
    return Wait(after, dict.fromkeys(later, 0))


def _each(cycles: int, *commands: Command) -> dict[Command, int]:
    return dict.fromkeys(commands, cycles)


def bank_waits(t: Timing) -> list[Wait]:
    """One set for each bank."""
    to_column = {RD: t.rcd_rd, WR: t.rcd_wr, MAC: t.rcd_mac, MACA: t.rcd_mac, RDCP: t.rcd_rdcp, WRCP: t.rcd_wrcp}
    longest = max(to_column.values())
    return [
        _until_done({**_each(t.rp, PRE, PREA), **_each(t.rc, ACT, ACTA)}, ACT, ACTA),
        _until_done(
            {**_each(t.ras, ACT, ACTA), **_each(t.rtp, RD, MAC, MACA, RDCP), **_each(t.write_end + t.wr, WR, WRCP)},
            *(PRE, PREA),
        ),
        Wait(_each(longest, ACT, ACTA), {command: longest - cycles for command, cycles in to_column.items()}),
    ]


def group_waits(t: Timing) -> list[Wait]:
    """One set for each group of banks. What holds for RD does for MAC, MACA and RDCP, and what holds for WR does for WRCP."""
    columns = _each(t.ccd_l, RD, MAC, MACA, RDCP)
    return [
        _until_done(_each(t.rrd_l, ACT), ACT),
        _until_done({**columns, **_each(t.write_end + t.wtr_l, WR, WRCP)}, RD),
        _until_done({**columns, **_each(t.ccd_l, WR, WRCP)}, WR),
    ]


def channel_waits(t: Timing) -> list[Wait]:
    written, turned = t.write_end + t.wtr_l, _each(t.rtw, RD, RDMAC)
    return [
        _until_done({**_each(t.mode, MRS), **_each(t.rfc, REF)}, *(command for command in Command if command is not Command.NOP)),
        _until_done(_each(t.rrd_s, ACT), ACT),
        _until_done({**_each(t.ccd_s, RD, MAC, MACA, RDCP), **_each(t.write_end + t.wtr_s, WR, WRCP)}, RD, MAC, RDCP),
        _until_done({**_each(t.ccd_s, MAC, MACA, RDCP, WR, WRCP), **turned}, WR),
        _until_done({**_each(t.ccd_s, RD, MAC, MACA, WR, WRCP), RDCP: max(t.cl, t.ccd_s), WRGB: t.write_end}, WRCP),
        _until_done(
            {**_each(t.ccd_l, MAC, MACA), **_each(t.write_end, WRGB, WRMAC), RDCP: t.cl, AF: t.af},
            *(MAC, MACA),
        ),
        _until_done({**_each(t.ccd_l, WRGB, WRMAC, AF), **turned, RDCP: t.cl}, WRGB),
        _until_done({**_each(t.ccd_l, WRGB, WRMAC), **turned, AF: t.af}, WRMAC),
        _until_done({RDMAC: t.ccd_l, WRGB: max(t.ccd_l, t.write_end + 2 - t.cl), WRMAC: written, AF: max(t.af, t.ccd_l)}, RDMAC, AF),
        _until_done(
            {
                **_each(t.cl + t.burst, RD, RDMAC),
                **_each(t.write_end, WR, WRGB, WRMAC, WRCP),
                **_each(t.ccd_l, MAC, MACA, RDCP, AF),
            },
            MRS,
        ),
        _until_done({**_each(t.rp, PRE, PREA), **_each(t.rc, ACT, ACTA)}, REF),
    ]


_WAITS = {"bank": bank_waits, "group": group_waits, "channel": channel_waits}


class Timers(wiring.Component):
    """The counters of one scope: bank, group or channel.

    Members
    -------
    given: the command on the pins. ready_<command>: for each bank or group, or for the channel, whether the command may be decided on in
    this cycle, or of a bank in the next one, as far as all commands know that were decided on LATENCY or more cycles ago. Decided on is
    the cycle before the pins. Commands that nothing in this scope holds back have none.
    """

    def __init__(self, dram: Dram, scope: str) -> None:
        self.dram, self._scope = dram, scope
        self._waits = _WAITS[scope](dram.timing)
        self._places = {"bank": dram.banks, "group": dram.bank_groups, "channel": 1}[scope]
        held = sorted({command for wait in self._waits for command in wait.later})
        super().__init__({"given": In(given_layout(dram)), **{f"ready_{command.name}": Out(self._places) for command in held}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ready: dict[Command, list[Value]] = {}
        share = self.dram.banks // self._places
        for number, wait in enumerate(self._waits):
            passed = []
            for place in range(self._places):
                here = self.given.at_bank[share * place : share * (place + 1)].any() if self._places > 1 else Const(1, 1)
                passed.append(self._counter(m, wait, here, f"wait{number}_{place}"))
            for command in wait.later:
                ready.setdefault(command, []).append(Cat(bits[command] for bits in passed))
        if self._scope == "channel":
            ready[Command.ACT].append(self._four_activates(m))
        for command, terms in ready.items():
            m.d.sync += getattr(self, f"ready_{command.name}").eq(functools.reduce(operator.and_, terms))
        return m

    def _counter(self, m: Module, wait: Wait, here: Value, name: str) -> dict[Command, Value]:
        """What is left of a wait in one place: for each later command whether it need not wait for it when it is asked for."""
        loads = {command: max(0, cycles - LATENCY) for command, cycles in wait.after.items()}
        left = Signal(range(max(loads.values()) + 1), name=name)
        m.d.sync += left.eq(_passed(left))
        set_to = {cycles: here & is_one_of(self.given, _keys(loads, cycles)) for cycles in sorted(set(loads.values())) if cycles}
        for cycles, sets in set_to.items():
            with m.If(sets & _at_most(left, cycles)):
                m.d.sync += left.eq(cycles)
        ahead = 1 if self._scope == "bank" else 0
        return {
            command: _at_most(left, most + ahead + 1) & ~Cat(sets for cycles, sets in set_to.items() if cycles > most + ahead).any()
            for command, most in wait.later.items()
        }

    def _four_activates(self, m: Module) -> Value:
        """Whether the fourth ACT before the next one is long enough ago: each ACT has one of four counters."""
        cycles = max(0, self.dram.timing.faw - LATENCY)
        which = Signal(2, name="activate")
        lefts = [Signal(range(cycles + 1), name=f"activate{i}_left") for i in range(4)]
        activates = self.given.kinds[ACT]
        following = Signal.like(which)
        m.d.comb += following.eq(which + activates)
        m.d.sync += which.eq(following)
        for i, left in enumerate(lefts):
            m.d.sync += left.eq(Mux(activates & (which == i), cycles, _passed(left)))
        return Cat((left <= 1) for left in lefts).bit_select(following, 1)


def _passed(left: Value) -> Value:
    """What is left a cycle later."""
    return Mux(left == 0, 0, left - 1)


def _at_most(count: Value, most: int) -> Value:
    """By its bits: a comparison would be a chain of carries."""
    if most >> len(count):
        return Const(1, 1)
    found = Const(1, 1)
    for i, bit in enumerate(count):
        found = ~bit | found if most >> i & 1 else ~bit & found
    return found


def _keys(mapping: Mapping[Command, int], value: int) -> set[Command]:
    return {key for key, its in mapping.items() if its == value}
