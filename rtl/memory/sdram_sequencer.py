"""Beats to an SDRAM chip's commands."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.sdram import PRECHARGE_ALL, Command, Sdram
from .beats import beat_layout
from .sdram_layouts import asked_layout, command_layout, place_layout
from .slave import write_layout


class _Pause:
    """What must be waited for after events, whose cycles ``after`` has by name. over: nothing; a register."""

    def __init__(self, m: Module, name: str, after: Mapping[str, int]) -> None:
        self.over, self._left = Signal(init=1, name=f"{name}_over"), Signal(range(max(after.values())), name=f"{name}_left")
        self._after = after
        with m.If(~self.over):
            m.d.sync += [self._left.eq(self._left - 1), self.over.eq(self._left == 1)]

    def after(self, event: str) -> list[Any]:
        """In the event's cycle."""
        cycles = self._after[event]
        return [self._left.eq(cycles - 1), self.over.eq(cycles == 1)]


class _State:
    """Of the sequencer: registers, and what must be waited for."""

    def __init__(self, m: Module, chip: Sdram, bus_bytes: int) -> None:
        c, words = chip, bus_bytes // chip.data_bytes
        opens, last = max(c.rcd_cycles, c.rrd_cycles), max(c.wr_cycles, c.rtp_cycles)
        closes = max(c.ras_cycles, c.rc_cycles - c.rp_cycles)
        # Before a refresh that is due a row may be closed, another one opened, and a beat be ended.
        self.refresh_cycles = c.refi_cycles - (2 * (closes + c.rp_cycles) + last + opens + words + 8)
        self.wait = _Pause(m, "wait", {"precharge": c.rp_cycles, "activate": opens, "refresh": c.rfc_cycles, "mode": c.mrd})
        self.closable, self.ended = _Pause(m, "closable", {"activate": closes}), _Pause(m, "ended", {"word": last})
        self.turned = _Pause(m, "turned", {"read": c.rtw_cycles})
        self.until_refresh = Signal(range(max(c.power_up_cycles, self.refresh_cycles) + 1), init=c.power_up_cycles)
        self.due, self.refreshed, self.started = Signal(name="due"), Signal(name="refreshed"), Signal(name="started")
        self.rows = Array(Signal(c.row_bits, name=f"row{i}") for i in range(c.banks))
        self.is_open = Signal(c.banks, name="is_open")
        # Of the beats under way, which are in one row: where the next one is, and whether that is outside of the chip.
        self.place, self.outside = Signal(place_layout(c, bus_bytes), name="place"), Signal(name="outside")
        self.writing, self.word = Signal(name="writing"), Signal(range(words), name="word")
        self.open_here = self.is_open.bit_select(self.place.bank, 1)


class SdramSequencer(wiring.Component):
    """Starts the chip, then does a word of a beat in each cycle while the row is open; a row stays open until its bank needs another one,
    or a refresh. Reads and writes take turns: after a burst, at a row's end, and where the one whose turn it is can't go on.

    Members
    -------
    reads, writes: beats, each in its order. room, begins: a read's beat can be begun, and is. command: of each cycle, a register. asked:
    beside it the word that its READ gives.
    """

    def __init__(self, chip: Sdram, bus_bytes: int, *, id_bits: int) -> None:
        self._chip, self._bus_bytes = chip, bus_bytes
        super().__init__(
            {
                "reads": In(stream.Signature(beat_layout(bus_bytes, id_bits))),
                "writes": In(stream.Signature(write_layout(bus_bytes, id_bits))),
                **{"room": In(1), "begins": Out(1), "asked": Out(asked_layout(id_bits))},
                "command": Out(command_layout(chip), init={"command": Command.NOP}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s = _State(m, self._chip, self._bus_bytes)
        m.d.sync += [
            *(self.command.command.eq(Command.NOP), self.command.drive.eq(0), self.asked.valid.eq(0)),
            self.command.dqm.eq(Mux(s.started, 0, ~0)),
        ]
        with m.If(s.until_refresh != 0):
            m.d.sync += s.until_refresh.eq(s.until_refresh - 1)
        with m.If(s.until_refresh == 1):
            m.d.sync += s.due.eq(1)
        with m.FSM():
            self._choose(m, s)
            self._open(m, s)
            with m.State("TRANSFER"):
                self._transfer(m, s)
            self._refresh(m, s)
        return m

    def _give(self, m: Module, s: _State, command: Any, address: Any = 0) -> None:
        m.d.sync += [self.command.command.eq(command), self.command.a.eq(address), self.command.ba.eq(s.place.bank)]

    def _choose(self, m: Module, s: _State) -> None:
        readable, write, read = self.reads.valid & self.room, self.writes.payload.beat, self.reads.payload
        writes = self.writes.valid & (~readable | ~s.writing)
        with m.State("IDLE"):
            m.d.sync += [s.place.eq(Mux(writes, write.place, read.place)), s.outside.eq(Mux(writes, write.outside, read.outside))]
            with m.If(s.due):
                m.next = "CLOSE"
            with m.Elif(s.started & (self.writes.valid | readable)):
                m.d.sync += s.writing.eq(writes)
                m.next = "LOOK"

    def _open(self, m: Module, s: _State) -> None:
        """The row."""
        with m.State("LOOK"):
            with m.If(s.outside | (s.open_here & (s.rows[s.place.bank] == s.place.row))):
                m.next = "TRANSFER"
            with m.Elif(s.open_here):
                m.next = "PRECHARGE"
            with m.Else():
                m.next = "ACTIVATE"
        with m.State("PRECHARGE"), m.If(s.closable.over & s.ended.over):
            self._give(m, s, Command.PRECHARGE)
            m.d.sync += [s.open_here.eq(0), *s.wait.after("precharge")]
            m.next = "ACTIVATE"
        with m.State("ACTIVATE"), m.If(s.wait.over):
            self._give(m, s, Command.ACTIVATE, s.place.row)
            m.d.sync += [s.open_here.eq(1), s.rows[s.place.bank].eq(s.place.row), *s.closable.after("activate"), *s.wait.after("activate")]
            m.next = "TRANSFER"

    def _transfer(self, m: Module, s: _State) -> None:
        """Words. A beat that was begun is ended: all of it is there, or has room."""
        readable, read, write = self.reads.valid & self.room, self.reads.payload, self.writes.payload
        ready, others = Mux(s.writing, self.writes.valid, readable), Mux(s.writing, readable, self.writes.valid)
        first, last = s.word == 0, s.word.all()
        bits, octets, count = self._chip.data_bits, self._chip.data_bytes, self._chip.column_bits
        with m.If(~first | (s.wait.over & ~s.due & ready & (s.turned.over | ~s.writing))):
            m.d.sync += [s.word.eq(s.word + 1), *s.ended.after("word")]
            with m.If(~s.outside):
                self._give(m, s, Mux(s.writing, Command.WRITE, Command.READ), Cat(s.word, s.place.column)[:count])
            m.d.sync += [
                *(self.asked.valid.eq(~s.writing), self.asked.ends.eq(last), self.asked.outside.eq(s.outside)),
                *(self.asked.last.eq(read.last), self.asked.id.eq(read.id)),
                *(self.command.word.eq(write.data.word_select(s.word, bits)), self.command.drive.eq(s.writing & ~s.outside)),
            ]
            with m.If(s.writing):
                m.d.sync += self.command.dqm.eq(~write.strb.word_select(s.word, octets))
            with m.Else():
                m.d.sync += s.turned.after("read")
            m.d.comb += [
                *(self.begins.eq(first & ~s.writing), self.reads.ready.eq(last & ~s.writing), self.writes.ready.eq(last & s.writing)),
            ]
            with m.If(last):
                m.d.sync += s.place.column.eq(s.place.column + 1)
                with m.If(Mux(s.writing, write.beat.last, read.last) | s.place.column.all()):
                    m.next = "IDLE"
        with m.Elif(s.wait.over & (s.due | (~ready & others))):
            m.next = "IDLE"

    def _refresh(self, m: Module, s: _State) -> None:
        """Of all banks, and the chip's start."""
        with m.State("CLOSE"), m.If(s.closable.over & s.ended.over & s.wait.over):
            self._give(m, s, Command.PRECHARGE, PRECHARGE_ALL)
            m.d.sync += [s.is_open.eq(0), *s.wait.after("precharge")]
            m.next = "REFRESH"
        with m.State("REFRESH"), m.If(s.wait.over):
            self._give(m, s, Command.REFRESH)
            m.d.sync += [s.due.eq(0), s.until_refresh.eq(s.refresh_cycles), s.refreshed.eq(1), *s.wait.after("refresh")]
            with m.If(s.started):
                m.next = "SETTLE"
            with m.Elif(s.refreshed):
                m.next = "MODE"
        with m.State("MODE"), m.If(s.wait.over):
            self._give(m, s, Command.MODE, self._chip.mode)
            m.d.sync += [self.command.ba.eq(0), s.started.eq(1), *s.wait.after("mode")]
            m.next = "SETTLE"
        with m.State("SETTLE"), m.If(s.wait.over):
            m.next = "IDLE"
