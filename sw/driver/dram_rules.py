"""The table of rules that a DRAM channel's commands keep, from its timing: what dram_checker.h enforces.

The timing's names are JEDEC's (`rtl/arch/dram.py`). A rule of a group or bank counts the commands for all banks in each. Names beyond
JEDEC's: tMAC of any two MACs, tREG of two commands to registers, tRTW and tBUS where the data bus turns, tBUFFER of the global buffer's use
after it was written, tACC of the accumulators', tAF of their function's results, tMOD after a switch of the mode, tTOMOD before it.
"""

import enum
from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

from ...rtl.arch.dram import Command, Dram

_C = Command


class Scope(enum.IntEnum):
    """Where two commands must both be for a rule to hold between them."""

    CHANNEL = 0
    GROUP = 1
    BANK = 2


class Rule(NamedTuple):
    """``later`` comes at least ``delay`` cycles after the first of the ``window`` latest ``earlier`` in the same place."""

    name: str
    earlier: Command
    later: Command
    scope: Scope
    delay: int
    window: int = 1


_OPEN, _CLOSE, _MACS = (_C.ACT, _C.ACTA), (_C.PRE, _C.PREA), (_C.MAC, _C.MACA)
_READ, _WRITE = (_C.RD, *_MACS, _C.RDCP), (_C.WR, _C.WRCP)  # a bank's open row
_REGISTERS = (_C.WRGB, _C.WRMAC, _C.RDMAC, _C.AF)
_TO_BUS, _FROM_BUS = (_C.RD, _C.RDMAC), (_C.WR, _C.WRGB, _C.WRMAC)
_ANY = tuple(c for c in Command if c is not _C.NOP)


def rules(dram: Dram) -> list[Rule]:
    """The table for a device. Between two commands several may hold, of which some are implied by others."""
    return [*_of_banks(dram), *_of_columns(dram), *_of_buses_and_registers(dram), *_of_channel(dram)]


def between(name: str, earlier: Iterable[Command], later: Iterable[Command], scope: Scope, delay: int, window: int = 1) -> Iterator[Rule]:
    return (Rule(name, first, second, scope, delay, window) for first, second in product(earlier, later))


def _of_banks(dram: Dram) -> Iterator[Rule]:
    """Opening and closing. An ACTA counts as no ACT of tRRD and tFAW: tRC is between it and any other."""
    t = dram.timing
    yield from between("tRCD_RD", _OPEN, [_C.RD], Scope.BANK, t.rcd_rd)
    yield from between("tRCD_WR", _OPEN, [_C.WR], Scope.BANK, t.rcd_wr)
    yield from between("tRCD_MAC", _OPEN, _MACS, Scope.BANK, t.rcd_mac)
    yield from between("tRCD_RDCP", _OPEN, [_C.RDCP], Scope.BANK, t.rcd_rdcp)
    yield from between("tRCD_WRCP", _OPEN, [_C.WRCP], Scope.BANK, t.rcd_wrcp)
    yield from between("tRP", _CLOSE, [*_OPEN, _C.REF], Scope.BANK, t.rp)
    yield from between("tRAS", _OPEN, _CLOSE, Scope.BANK, t.ras)
    yield from between("tRC", _OPEN, [*_OPEN, _C.REF], Scope.BANK, t.rc)
    yield from between("tRRD_S", [_C.ACT], [_C.ACT], Scope.CHANNEL, t.rrd_s)
    yield from between("tRRD_L", [_C.ACT], [_C.ACT], Scope.GROUP, t.rrd_l)
    yield from between("tFAW", [_C.ACT], [_C.ACT], Scope.CHANNEL, t.faw, window=4)
    yield from between("tRTP", _READ, _CLOSE, Scope.BANK, t.rtp)
    yield from between("tWR", _WRITE, _CLOSE, Scope.BANK, t.write_end + t.wr)


def _of_columns(dram: Dram) -> Iterator[Rule]:
    t = dram.timing
    columns = (*_READ, *_WRITE)
    yield from between("tCCD_S", columns, columns, Scope.CHANNEL, t.ccd_s)
    yield from between("tCCD_L", columns, columns, Scope.GROUP, t.ccd_l)
    yield from between("tMAC", _MACS, _MACS, Scope.CHANNEL, t.ccd_l)
    yield from between("tWTR_S", _WRITE, _READ, Scope.CHANNEL, t.write_end + t.wtr_s)
    yield from between("tWTR_L", _WRITE, _READ, Scope.GROUP, t.write_end + t.wtr_l)


def _of_buses_and_registers(dram: Dram) -> Iterator[Rule]:
    """RDCP's column is in the global buffer as late as RD's on the bus: until then nothing uses the buffer, nor writes it."""
    t = dram.timing
    turn = t.write_end + 2 - t.cl  # as rtw the other way: the data bus is free for two cycles
    yield from between("tRTW", _TO_BUS, _FROM_BUS, Scope.CHANNEL, t.rtw)
    yield from between("tREG", _REGISTERS, _REGISTERS, Scope.CHANNEL, t.ccd_l)
    yield from between("tBUS", [_C.WRGB], [_C.RDMAC], Scope.CHANNEL, max(t.ccd_l, turn))
    yield from between("tBUFFER", [_C.RDCP], [*_MACS, _C.WRCP, _C.WRGB], Scope.CHANNEL, t.cl)
    yield from between("tBUFFER", [_C.WRGB], [*_MACS, _C.WRCP], Scope.CHANNEL, t.write_end)
    yield from between("tACC", [_C.WRMAC], _MACS, Scope.CHANNEL, t.write_end)
    yield from between("tACC", [_C.WRMAC], [_C.RDMAC, _C.AF], Scope.CHANNEL, t.write_end + t.wtr_l)
    yield from between("tAF", [_C.AF], [_C.RDMAC, _C.WRMAC, _C.AF, *_MACS], Scope.CHANNEL, t.af)


def _of_channel(dram: Dram) -> Iterator[Rule]:
    """Refresh, and switches of the mode, before which what is under way ends."""
    t = dram.timing
    yield from between("tRFC", [_C.REF], _ANY, Scope.CHANNEL, t.rfc)
    yield from between("tMOD", [_C.MRS], _ANY, Scope.CHANNEL, t.mode)
    yield from between("tTOMOD", _TO_BUS, [_C.MRS], Scope.CHANNEL, t.cl + t.burst)
    yield from between("tTOMOD", [*_FROM_BUS, _C.WRCP], [_C.MRS], Scope.CHANNEL, t.write_end)
    yield from between("tTOMOD", [*_MACS, _C.RDCP, _C.AF], [_C.MRS], Scope.CHANNEL, t.ccd_l)
