"""The rules that an SDRAM chip's commands keep, from its timing, for the referee that is the DRAM channels', too (dram_checker.h)."""

from collections.abc import Iterator

from ...rtl.arch.dram import Command
from ...rtl.arch.sdram import Sdram
from .dram_rules import Rule, Scope, between

_C = Command  # its ACT, PRE, PREA, RD, WR, REF and MRS
_CLOSE = (_C.PRE, _C.PREA)
_ANY = (_C.ACT, *_CLOSE, _C.RD, _C.WR, _C.REF, _C.MRS)


def rules(chip: Sdram) -> list[Rule]:
    """The table for a chip, in JEDEC's names. That the data bus turns in time is the chip's to see."""
    return list(_rules(chip))


def _rules(c: Sdram) -> Iterator[Rule]:
    yield from between("tRCD", [_C.ACT], [_C.RD, _C.WR], Scope.BANK, c.rcd_cycles)
    yield from between("tRP", _CLOSE, [_C.ACT, _C.REF, _C.MRS], Scope.BANK, c.rp_cycles)
    yield from between("tRAS", [_C.ACT], _CLOSE, Scope.BANK, c.ras_cycles)
    yield from between("tRC", [_C.ACT], [_C.ACT, _C.REF], Scope.BANK, c.rc_cycles)
    yield from between("tRRD", [_C.ACT], [_C.ACT], Scope.CHANNEL, c.rrd_cycles)
    yield from between("tRFC", [_C.REF], _ANY, Scope.CHANNEL, c.rfc_cycles)
    yield from between("tMRD", [_C.MRS], _ANY, Scope.CHANNEL, c.mrd)
    yield from between("tWR", [_C.WR], _CLOSE, Scope.BANK, c.wr_cycles)
    yield from between("tRTP", [_C.RD], _CLOSE, Scope.BANK, c.rtp_cycles)
