"""Random macros and AXI bursts for the PIM controller, and what must come of them."""

from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.dram import IN_MEMORY_MODE, MODE_FORMAT, MODE_FUNCTION, Command, Function, NumberFormat
from ..rtl.arch.pim import Macro
from ..sw.golden.pim_device import PimDevice
from .pim_bench import PimBench

ROWS = 6  # of each bank that are used: the lower half by macros, the upper one by AXI
_BURST = 16  # beats at most


class Traffic:
    """Sends to a bench, and to the golden device; `check` compares."""

    def __init__(self, bench: PimBench, seed: int) -> None:
        self.bench, self.dram, self.device = bench, bench.dram, PimDevice(bench.dram)
        self._random, self._numbers = Random(seed), np.random.default_rng(seed)
        self._expected: list[NDArray[np.uint8]] = []
        self._axi = np.zeros((ROWS // 2 * self._row_beats, self.dram.column_bytes), np.uint8)  # the upper rows, in order of address
        self._axi_expected: list[NDArray[np.uint8]] = []
        self._written = 0
        self._format = NumberFormat.OFF
        self.set_mode()

    @property
    def _row_beats(self) -> int:
        return self.dram.channels * self.dram.banks * self.dram.columns

    def macro(self, operation: Macro, columns: int = 0, **fields: int) -> None:
        """With so many random columns as data. Numbers are small if they are BF16, so that few sums overflow."""
        data = self._numbers.integers(0, 256, (columns, self.dram.column_bytes), np.uint8)
        if self._format is NumberFormat.BF16:
            data[:, 1::2] = data[:, 1::2] & 0x83 | 0x3C
        values = {"channels": (1 << self.dram.channels) - 1, **fields}
        self.bench.macro(operation, **values)
        if columns:
            self.bench.write(data)
        self._expected.append(self.device.execute(operation, data, **values))

    def set_mode(self) -> None:
        self._format = self._random.choice((NumberFormat.INT8, NumberFormat.BF16))
        function = self._random.choice((*Function,))
        self.macro(Macro.SET_MODE, mode=self._format << MODE_FORMAT | function << MODE_FUNCTION)

    def random_macro(self) -> None:
        d, rng = self.dram, self._random
        operation = rng.choices((*Macro,), [1, 6, 3, 12, 6, 2, 4, 2, 2, 4, 6, 3])[0]
        channels = rng.choice(((1 << d.channels) - 1, rng.randrange(1, 1 << d.channels)))
        buffer = rng.randrange(d.buffer_columns)
        count = rng.randint(1, min(d.buffer_columns - buffer, rng.choice((4, 20, 2 * d.columns))))
        row, column = rng.randrange(ROWS // 2), rng.randrange(d.columns)
        count = min(count, (ROWS // 2 - row) * d.columns - column)
        place = {"bank": rng.randrange(d.banks), "row": row, "column": column, "count": count}
        together = {"channels": channels}
        match operation:
            case Macro.SET_MODE:
                self.set_mode()
            case Macro.WRITE_BUFFER:
                self.macro(operation, count, buffer=buffer, count=count, **together)
            case Macro.WRITE_ACCUMULATORS:
                self.macro(operation, channels.bit_count() * d.accumulator_columns, **together)
            case Macro.SCATTER:
                lane = rng.randrange(d.column_bytes)
                self.macro(operation, channels.bit_count(), row=row, column=column, buffer=lane, **together)
            case Macro.ACTIVATE | Macro.READ_ACCUMULATORS:
                self.macro(operation, **together)
            case Macro.WRITE:
                self.macro(operation, count, **place, **together)
            case _:
                self.macro(operation, buffer=buffer, **place, **together)

    def random_bursts(self, count: int) -> None:
        """Reads of one part of the rows of AXI, and writes to another, at the same time."""
        half = len(self._axi) // 2
        read_from = self._random.choice((0, half))
        for _ in range(count):
            beats = self._random.randint(1, _BURST)
            first = self._random.randrange(half - beats)
            if self._random.random() < 0.5:
                self._axi_expected.append(self._axi[read_from + first :][:beats].copy())
                self.bench.axi_read(self._address(read_from + first), beats)
            else:
                self._write(half - read_from + first, beats)

    def _write(self, first: int, beats: int) -> None:
        size = self.dram.column_bytes
        data = self._numbers.integers(0, 256, (beats, size), np.uint8)
        strobes = [self._random.choice(((1 << size) - 1, self._random.randrange(1 << size))) for _ in range(beats)]
        chosen = np.array([[strobe >> i & 1 for i in range(size)] for strobe in strobes], bool)
        self.bench.axi_write(self._address(first), data, strobes)
        self._axi[first : first + beats] = np.where(chosen, data, self._axi[first : first + beats])
        self._written += 1

    def _address(self, beat: int) -> int:
        return (ROWS // 2 * self._row_beats + beat) * self.dram.column_bytes

    def check(self) -> None:
        """Once the bench is idle: what it answered, and what lies in the DRAM."""
        d = self.dram
        assert (self.bench.read() == np.concatenate(self._expected)).all()
        beats, responses = self.bench.axi_beats()
        assert not responses.any()
        assert (beats == np.concatenate([beats[:0], *self._axi_expected])).all()
        written = self.bench.axi_responses()
        assert len(written) == self._written
        assert not written.any()
        for (channel, bank, row), columns in self.device.rows.items():
            assert (self.bench.row(channel, bank, row) == columns).all(), (channel, bank, row)
        by_place = self._axi.reshape(-1, d.banks, d.columns, d.channels, d.column_bytes)
        for row, bank, channel in np.ndindex(len(by_place), d.banks, d.channels):
            assert (self.bench.row(channel, bank, ROWS // 2 + row) == by_place[row, bank, :, channel]).all(), (channel, bank, row)
        self._expected, self._axi_expected, self._written = [self._expected[0][:0]], [], 0


class Statistics(NamedTuple):
    """row_hits: part of the commands on rows that found theirs open. command_bus, data_bus: part of the cycles of all channels in which
    they were in use."""

    cycles: int
    row_hits: float
    command_bus: float
    data_bus: float
    refreshes: int


def drive(bench: PimBench, seed: int, cycles: int) -> Statistics:
    """At least so many cycles of macros, bursts and both, each part checked, under stalls of every second part."""
    traffic, part = Traffic(bench, seed), 0
    while bench.cycles < cycles:
        bench.stall((0, 0.2, 0, 0.7)[part % 4], part)
        for _ in range(0 if part % 3 == 2 else 300):
            traffic.random_macro()
        traffic.random_bursts(0 if part % 3 == 0 else 300)
        bench.finish()
        traffic.check()
        part += 1
    counts, t = bench.counts(), bench.dram.timing
    in_rows = sum(counts[command] for command in IN_MEMORY_MODE)
    bursts = sum(counts[c] for c in (Command.RD, Command.WR, Command.WRGB, Command.WRMAC, Command.RDMAC))
    opened = counts[Command.ACT] + counts[Command.ACTA]
    all_cycles = bench.cycles * bench.dram.channels
    given = sum(counts.values()) - counts[Command.NOP]
    return Statistics(bench.cycles, 1 - opened / in_rows, given / all_cycles, bursts * t.burst / all_cycles, counts[Command.REF])
