"""Rows of a memory through a block, and its results back into the memory: a block as a whole device, with registers of its own."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect
from amaranth.utils import exact_log2

from .arch.parameters import VERSION
from .arch.rows import ERROR_BITS, IDENTITY, MEMORY_BYTES, ROW_REGISTERS, WORD_BYTES, RowPlaces, RowsError
from .axi import slave_ports
from .axi_stream import elements_of
from .control import ControlRegisters, axi4_lite_ports
from .elements import Elements
from .flat_ports import connect_ports
from .memory.one_port import OnePortMemory, access_layout

WORDS = MEMORY_BYTES // WORD_BYTES
COUNT_BITS = (MEMORY_BYTES // 2).bit_length()  # of the elements in a half of the memory


class _Feeder(wiring.Component):
    """Elements of the memory as rows of beats, one by one: the line to the host is much slower.

    Members
    -------
    start: for a cycle; elements, row_elements: how many, of all rows and of each, not zero; they stay. done: nothing is to be given.
    reads: for each, ``found`` has the word in the cycle behind it. beats: the rows.
    """

    def __init__(self, beat: Any, in_bytes: int) -> None:
        self._in_bytes = in_bytes
        super().__init__(
            {
                **{"start": In(1), "elements": In(COUNT_BITS), "row_elements": In(COUNT_BITS), "done": Out(1)},
                **{"reads": Out(stream.Signature(access_layout(WORDS))), "found": In(8 * WORD_BYTES)},
                "beats": Out(stream.Signature(beat)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size, beat = self._in_bytes, self.beats.payload
        lanes = len(beat.keep)
        index, in_row, lane = Signal(COUNT_BITS), Signal(COUNT_BITS), Signal(range(lanes))
        finished = Signal()
        m.d.comb += self.reads.payload.place.eq((index * size) // WORD_BYTES)
        all_end = index == self.elements - 1
        row_ends = all_end | (in_row == self.row_elements - 1)
        element = self.found.word_select(_place_in_word(index, size), 8 * size)
        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.start):
                    m.d.sync += [index.eq(0), in_row.eq(0), lane.eq(0)]
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.reads.valid.eq(1)
                with m.If(self.reads.ready):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += [
                    *(beat.values[lane].eq(element), beat.keep.eq(Mux(lane == 0, 1, beat.keep << 1 | 1)), beat.last.eq(row_ends)),
                    *(index.eq(index + 1), in_row.eq(Mux(row_ends, 0, in_row + 1)), lane.eq(lane + 1), finished.eq(all_end)),
                ]
                m.next = "ASK"
                with m.If(row_ends | (lane == lanes - 1)):
                    m.d.sync += lane.eq(0)
                    m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += self.beats.valid.eq(1)
                with m.If(self.beats.ready):
                    m.next = "ASK"
                    with m.If(finished):
                        m.next = "IDLE"
        return m


class RowRunner(wiring.Component):
    """Registers and memory are those of rtl/arch/rows.py. Rows go in and results go out at once, while the block is slower or faster than
    the memory. A run begins with the block as after a reset. When a run ends the block has nothing under way.

    block: with one stream of beats in, ``i``, one out, ``o``, which has a result for each element; perhaps errors.
    places: of its rows. configuration: for the registers, 64 bits.

    Members
    -------
    s_axil_*: AXI4-Lite to the registers. s_axi_*: AXI4 to the memory, in words of 4 bytes. irq: from a run's end until it is acknowledged.
    running: rows are under way.
    """

    def __init__(self, block: Any, places: RowPlaces, configuration: int) -> None:
        self._block, self._places, self._configuration = block, places, configuration
        super().__init__({**axi4_lite_ports(), **slave_ports(WORD_BYTES), "irq": Out(1), "running": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.control = control = ControlRegisters(ROW_REGISTERS)
        m.submodules.memory = memory = OnePortMemory(MEMORY_BYTES)
        connect_ports(m, axi4_lite_ports(""), self, control, outer="s_axil_")
        connect_ports(m, slave_ports(WORD_BYTES), self, memory)
        start, reset, acknowledge = control.control
        idle, starts = Signal(), Signal()
        done, error = Signal(), Signal(ERROR_BITS)
        m.d.comb += [
            *(control.identity.eq(IDENTITY), control.version.eq(VERSION[0] << 16 | VERSION[1])),
            Cat(control.hash_low, control.hash_high).eq(self._configuration),
            *(self.running.eq(~idle), control.status.eq(Cat(self.running, done, error != 0)), control.error.eq(error)),
        ]
        m.submodules.rows = ResetInserter(idle)(rows := Module())
        given, errors = self._rows(rows, memory, control, starts)

        places = self._places
        row_fits = (control.row_elements != 0) & (control.row_elements <= places.longest_row)
        all_fit = (control.elements != 0) & (control.elements <= places.most_elements)
        with m.If(acknowledge):
            m.d.sync += self.irq.eq(0)

        def end(found: Value) -> None:
            m.d.sync += [error.eq(found), done.eq(found == 0), self.irq.eq(1)]
            m.next = "IDLE"

        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.comb += idle.eq(1)
                with m.If(start):
                    m.d.sync += [done.eq(0), error.eq(0), control.cycles.eq(0)]
                    m.next = "START"
            with m.State("START"):
                m.d.comb += starts.eq(row_fits & all_fit)
                m.next = "RUN"
                with m.If(~starts):
                    end(Mux(row_fits, RowsError.ELEMENTS, RowsError.ROW))
            with m.State("RUN"):
                m.d.sync += control.cycles.eq(control.cycles + 1)
                with m.If(given | (errors != 0)):
                    end(Mux(errors != 0, RowsError.BLOCK | errors, 0))
                with m.If(reset):
                    m.next = "IDLE"
        with m.If(reset):
            m.d.sync += [done.eq(0), error.eq(0), self.irq.eq(0)]
        return m

    def _rows(self, m: Module, memory: OnePortMemory, control: Any, starts: Signal) -> tuple[Value, Value]:
        """Memory to block to memory. Whether all results are there, and the block's errors."""
        block, places = self._block, self._places
        shape, lanes = elements_of(block.signature.members["o"])
        m.submodules.block = block
        m.submodules.feeder = feeder = _Feeder(block.signature.members["i"].signature.members["payload"].shape, places.in_bytes)
        m.submodules.results = results = Elements(lanes, shape)
        connect(m, feeder.beats, block.i)
        connect(m, block.o, results.beats)
        m.d.comb += [
            feeder.start.eq(starts),
            *(feeder.elements.eq(control.elements), feeder.row_elements.eq(control.row_elements), feeder.found.eq(memory.found)),
        ]
        written, under_way = Signal(COUNT_BITS), Signal(COUNT_BITS)  # results; rows
        more, less = (s.valid & s.ready & s.payload.last for s in (feeder.beats, results.beats))
        m.d.sync += [written.eq(written + (results.o.valid & results.o.ready)), under_way.eq(under_way + more - less)]

        size, access = places.out_bytes, memory.accesses
        m.d.comb += [access.valid.eq(results.o.valid | feeder.reads.valid), results.o.ready.eq(access.ready)]
        m.d.comb += feeder.reads.ready.eq(access.ready & ~results.o.valid)
        with m.If(results.o.valid):  # it has room: each element has one result
            m.d.comb += [
                access.payload.place.eq((written * size + places.results) // WORD_BYTES),
                access.payload.word.eq(Value.cast(results.o.payload).replicate(WORD_BYTES // size)),
                access.payload.mask.eq(Const((1 << size) - 1, WORD_BYTES) << (_place_in_word(written, size) * size)),
            ]
        with m.Else():
            m.d.comb += access.payload.eq(feeder.reads.payload)
        return feeder.done & (under_way == 0), getattr(block, "errors", Const(0, 1))


def _place_in_word(index: Value, size: int) -> Value:
    """Of an element of ``size`` bytes."""
    return index[: exact_log2(WORD_BYTES // size)]
