"""SDRAM chips of single data rate (JEDEC): geometry, timing, commands.

A chip has `banks`, each with one row open at most. A column of the open row is a word of the data bus; here each command reads or writes
one word (burst length 1), and they may come every cycle.
"""

import enum
import math
from dataclasses import dataclass

from .checks import require

PRECHARGE_ALL = 1 << 10  # bit of the address: PRECHARGE closes all banks
INITIAL_REFRESHES = 2


class Command(enum.IntEnum):
    """The pins (ras_n, cas_n, we_n), the first the highest bit, of a chip that is selected."""

    MODE = 0b000  # set the mode register to the address
    REFRESH = 0b001  # all banks, which are closed
    PRECHARGE = 0b010  # close a bank, or all
    ACTIVATE = 0b011  # open a row
    WRITE = 0b100
    READ = 0b101
    NOP = 0b111


@dataclass(frozen=True, kw_only=True)
class Sdram:
    """A chip and its clock. Raises ParameterError.

    mhz: the clock. data_bits: of a word. cas_latency: cycles from a READ to its word.
    In ns: rcd: ACTIVATE to READ, WRITE. rp: PRECHARGE to ACTIVATE. ras: ACTIVATE to PRECHARGE. rc: ACTIVATE to ACTIVATE of a bank.
    rrd: of different banks. rfc: REFRESH to the next command. wr: WRITE to PRECHARGE. refi: between two REFRESHes, at most. power_up:
    before the first command. mrd: cycles from MODE to the next command.
    """

    mhz: float = 100
    banks: int = 4
    row_bits: int = 13
    column_bits: int = 9
    data_bits: int = 16
    cas_latency: int = 3
    rcd: float
    rp: float
    ras: float
    rc: float
    rrd: float
    rfc: float
    wr: float
    refi: float
    power_up: float
    mrd: int = 2

    def __post_init__(self) -> None:
        limits = {"row_bits": (11, 13), "column_bits": (8, 10), "cas_latency": (2, 3), "mrd": (2, 8)}
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            require(type(value) is int and least <= value <= most, name, f"an integer in {least}..{most}", value)
        require(self.banks in (2, 4), "banks", "2 or 4", self.banks)
        require(self.data_bits in (8, 16), "data_bits", "8 or 16", self.data_bits)
        require(1 <= self.mhz <= 200, "mhz", "in 1..200", self.mhz)
        for name in ("rcd", "rp", "ras", "rc", "rrd", "rfc", "wr", "refi", "power_up"):
            require(getattr(self, name) > 0, name, "above 0 ns", getattr(self, name))
        busy = sum(map(self.cycles, (self.rcd, self.rp, self.ras, self.rc, self.rrd, self.rfc, self.wr)))
        require(self.refi_cycles >= 2 * busy + 32, "refi", "longer than it takes to open rows and to refresh", self.refi)

    def cycles(self, ns: float, *, least: int = 1) -> int:
        """Of the clock, that last so long."""
        return max(least, math.ceil(round(ns * self.mhz / 1000, 6)))

    @property
    def rcd_cycles(self) -> int:
        return self.cycles(self.rcd)

    @property
    def rp_cycles(self) -> int:
        return self.cycles(self.rp)

    @property
    def ras_cycles(self) -> int:
        return self.cycles(self.ras)

    @property
    def rc_cycles(self) -> int:
        return self.cycles(self.rc)

    @property
    def rrd_cycles(self) -> int:
        """At least two: some data sheets have it in cycles."""
        return self.cycles(self.rrd, least=2)

    @property
    def rfc_cycles(self) -> int:
        return self.cycles(self.rfc)

    @property
    def wr_cycles(self) -> int:
        """As rrd_cycles."""
        return self.cycles(self.wr, least=2)

    @property
    def rtp_cycles(self) -> int:
        """READ to PRECHARGE, which leaves the word whole."""
        return self.cas_latency - 1

    @property
    def rtw_cycles(self) -> int:
        """READ to WRITE: nobody drives the data bus in the cycle between their words."""
        return self.cas_latency + 2

    @property
    def refi_cycles(self) -> int:
        return math.floor(round(self.refi * self.mhz / 1000, 6))

    @property
    def power_up_cycles(self) -> int:
        return self.cycles(self.power_up)

    @property
    def address_bits(self) -> int:
        return max(self.row_bits, PRECHARGE_ALL.bit_length())

    @property
    def data_bytes(self) -> int:
        return self.data_bits // 8

    @property
    def rows(self) -> int:
        """Of a bank."""
        return 1 << self.row_bits

    @property
    def columns(self) -> int:
        """Of a row."""
        return 1 << self.column_bits

    @property
    def size(self) -> int:
        """In bytes."""
        return self.banks * self.rows * self.columns * self.data_bytes

    @property
    def mode(self) -> int:
        """The mode register: bursts of one word, in order."""
        return self.cas_latency << 4


# The chips of ULX3S boards: of IS42S16160G-7, AS4C16M16SA-7, W9825G6KH-6 and MT48LC16M16A2-75 the slowest values as far as they are known
# here, none shorter than LiteDRAM's of these and of the larger AS4C32M16, of which this is the first half. CAS latency 3 suits all of them
# up to 133 MHz.
ULX3S = Sdram(rcd=21, rp=21, ras=45, rc=66, rrd=15, rfc=70, wr=15, refi=64e6 / 8192, power_up=200_000)
