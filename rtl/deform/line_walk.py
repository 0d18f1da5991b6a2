"""Where the lines of results lie in the line buffer."""

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.deform import DeformCircuit
from ..arch.steps import COUNT_BITS, DEFORM
from ..countdown import Countdown
from ..layouts import record_layout
from .layouts import NEAR, ROWS_BITS, line_layout, row_layout, wrapped


class LineWalk(wiring.Component):
    """A line in three cycles.

    Members
    -------
    command: while it is done. start: high for one cycle, with the command.
    bases: where the first row of each word of channels lies.
    """

    def __init__(self, circuit: DeformCircuit) -> None:
        self._c = circuit
        super().__init__(
            {
                "command": In(record_layout(DEFORM)),
                "start": In(1),
                "bases": In(stream.Signature(row_layout(circuit))),
                "lines": Out(stream.Signature(line_layout(circuit))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, command, line = self._c, self.command, self.lines.payload
        rows = signed(ROWS_BITS)
        centre, base = Signal(rows), Signal(ROWS_BITS)  # the line's row in the map, and rows before the map
        # Rows of the map before those that this line needs, and those that the next one needs; and up to the last that this one needs.
        low, next_low, high = (Signal(COUNT_BITS, name=name) for name in ("low", "next_low", "high"))
        lines, groups = Countdown(COUNT_BITS, name="lines"), Countdown(COUNT_BITS, name="groups")
        steps = [c.row_step * step % c.banks for step in range(4)]
        y_start, step_bank = command.y_start, Mux(command.y_step[1], steps[2], steps[1])
        below = (command.height - 1 - centre).as_signed()
        lowest, highest = centre + command.y_step - command.reach, centre + command.reach + 1  # of the next line, and of this one
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [base.eq(0), *groups.start(command.groups)]
                with m.If(self.start):
                    m.next = "GROUP"
            with m.State("GROUP"):
                m.d.comb += self.bases.ready.eq(1)
                m.d.sync += [
                    line.row.slot.eq(wrapped(self.bases.payload.slot + y_start, c.rows)),
                    line.row.bank.eq(wrapped(self.bases.payload.bank + row_bank(c, y_start), c.banks)),
                    *(centre.eq(y_start), low.eq(0), line.new_group.eq(1), *lines.start(command.lines)),
                ]
                with m.If(self.bases.valid):
                    m.next = "LIMIT"
            with m.State("LIMIT"):
                m.d.sync += [
                    line.first.eq(-limited(centre, c.reach)),
                    line.last.eq(limited(below, c.reach)),
                    next_low.eq(Mux(lines.ends, command.height, _clamped(lowest, command.height))),
                    high.eq(_clamped(highest, command.height)),
                ]
                m.next = "COUNT"
            with m.State("COUNT"):
                m.d.sync += [low.eq(next_low), line.frees.eq(next_low - low), line.until.eq(base + high)]
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += self.lines.valid.eq(1)
                with m.If(self.lines.ready):
                    m.d.sync += [
                        line.row.slot.eq(wrapped(line.row.slot + command.y_step, c.rows)),
                        line.row.bank.eq(wrapped(line.row.bank + step_bank, c.banks)),
                        *(centre.eq(centre + command.y_step), line.new_group.eq(0), *lines.advance()),
                    ]
                    m.next = "LIMIT"
                    with m.If(lines.ends):
                        m.d.sync += [base.eq(base + command.height), *groups.advance()]
                        m.next = "GROUP"
                        with m.If(groups.ends):
                            m.next = "IDLE"
        return m


def row_bank(c: DeformCircuit, distance: Value) -> Value:
    """``row_step * distance`` modulo the banks, of a distance within the reach."""
    bits = len(distance)
    distances = [n - (n >> (bits - 1) << bits) for n in range(1 << bits)]  # of the bits n
    return Array(Const(c.row_step * of % c.banks, range(c.banks)) for of in distances)[distance.as_unsigned()]


def limited(distance: Value, reach: int) -> Value:
    """A signed distance, at most ``reach`` and at least one beyond it on the other side."""
    return Mux(distance > reach, reach, Mux(distance < -reach - 1, -reach - 1, distance[: NEAR.width].as_signed()))


def _clamped(row: Value, height: Value) -> Value:
    return Mux(row < 0, 0, Mux(row > height, height, row))
