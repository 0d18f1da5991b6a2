"""Where the taps of a pixel lie in the line buffer, from its offsets (model: sw/golden/deform.py)."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arch.deform import FRACTION_BITS, ONE, DeformCircuit, Form
from ..arch.steps import DEFORM
from ..delay import delay
from ..layouts import record_layout
from .layouts import DISPLACEMENT, NEAR, PASSED, column_bits, pixel_layout, points_layout, wrapped
from .line_walk import row_bank

_TO_DISPLACEMENTS, _TO_NEAR, _TO_PLACES, _TO_POINTS = 3, 3, 2, 2  # cycles
NEARNESS = FRACTION_BITS + 1  # bits: up to ONE
_MASK = signed(10)


@dataclass(frozen=True)
class _Axis:
    """A tap along one axis: the pixels on both sides of it, (near, far); their nearness; whether it lies between them."""

    pixels: tuple[Value, Value]
    nearness: tuple[Value, Value]
    between: Value


def placed_layout(c: DeformCircuit) -> data.StructLayout:
    """A pixel with its offsets, which the form takes, and its masks."""
    offsets = {"offsets": data.ArrayLayout(signed(16), offsets_of(c))}
    masks = {"masks": data.ArrayLayout(signed(8), c.taps)} if c.masked else {}
    return data.StructLayout({"pixel": pixel_layout(c), **offsets, **masks})


def offsets_of(c: DeformCircuit) -> int:
    """Of a pixel, at most."""
    return 2 * c.taps if c.free else 1


class Placer(wiring.Component):
    """A pipeline: ``o`` is of the ``i`` of `latency` cycles before. command: while it is done."""

    latency = _TO_DISPLACEMENTS + _TO_NEAR + _TO_PLACES + _TO_POINTS

    def __init__(self, circuit: DeformCircuit) -> None:
        self._c = circuit
        super().__init__({"command": In(record_layout(DEFORM)), "i": In(placed_layout(circuit)), "o": Out(points_layout(circuit))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self._c
        axes = self._axes(m, self._displacements(m))
        pixel = delay(m, self.i.pixel, _TO_DISPLACEMENTS + _TO_NEAR)
        masks = self._masks(m)
        sides = range(c.copies)
        rows = [[self._row(m, pixel, axis.pixels[side]) for side in sides] for axis in axes[0]]
        columns = [[self._column(m, pixel, axis.pixels[side]) for side in sides] for axis in axes[1]]
        between = [[delay(m, axis.between, _TO_PLACES) for axis in along] for along in axes]
        nearness = [[[delay(m, axis.nearness[side], _TO_PLACES) for side in sides] for axis in along] for along in axes]
        for turn in range(c.copies):
            for copy in sides:
                y_side, x_side = (copy, copy) if turn == 0 else (copy, 1 - copy)
                points = self.o.turns[turn].taps[copy]
                banks, places = [], []
                for t in range(c.taps):
                    y, x = self._tap_axes(t)
                    row, column = rows[y][y_side], columns[x][x_side]
                    either, both = between[0][y] | between[1][x], between[0][y] & between[1][x]
                    has_weight = Const(1) if turn == copy == 0 else either if turn == 0 else both
                    wanted = row["inside"] & column["inside"] & has_weight
                    bank = delay(m, wrapped(row["bank"] + column["rest"], c.banks)[: len(points[t].bank)], 1)
                    place = delay(m, Cat(column["quotient"], row["slot"]), 1)
                    banks.append(bank)
                    places.append(place)
                    m.d.comb += [
                        points[t].bank.eq(delay(m, bank, 1)),
                        points[t].place.eq(delay(m, place, 1)),
                        points[t].wanted.eq(delay(m, wanted, 2)),
                    ]
                    if c.fractional:
                        weight = _weight(m, nearness[0][y][y_side], nearness[1][x][x_side], masks[t])
                        m.d.comb += points[t].weight.eq(weight)
                if c.arbitrates:
                    rivals = self.o.turns[turn].rivals[copy]
                    for t in range(1, c.taps):
                        rival = Cat((banks[t] == banks[other]) & (places[t] != places[other]) for other in range(t))
                        m.d.comb += rivals[t].eq(delay(m, rival, 1))
        second = [point.wanted for turn in list(self.o.turns)[1:] for copy in turn.taps for point in copy]
        m.d.comb += [
            self.o.has_second.eq(Cat(second).any()),
            *(self.o[name].eq(delay(m, pixel[name], _TO_PLACES + _TO_POINTS)) for name in PASSED),
        ]
        return m

    def _displacements(self, m: Module) -> list[list[Value]]:
        """Of the taps along y and x: of those that can differ."""
        c, command = self._c, self.command
        offsets = []
        for offset in self.i.offsets:
            number = delay(m, offset - command.offset_zero_point, 1)
            low, high = command.offset_low, command.offset_high
            kept = Mux(number < low, low, Mux(number > high, high, number[: len(low)].as_signed()))
            shift = (FRACTION_BITS - command.fraction)[:3] if c.bilinear else FRACTION_BITS
            offsets.append(delay(m, (kept << shift)[: DISPLACEMENT.width].as_signed(), 1))
        square = Mux(command.form == Form.SQUARE, offsets[0], 0)
        unit = delay(m, ((command.dilation << FRACTION_BITS) + square)[: DISPLACEMENT.width].as_signed(), 1)
        own = [delay(m, Mux(command.form == Form.FREE, offset, 0), 1) for offset in offsets]
        steps = range(-(c.kernel // 2), c.kernel // 2 + 1)
        if not c.free:
            return [[_times(unit, step) for step in steps]] * 2
        along_y = [_times(unit, y) + own[2 * t] for t, y in enumerate(y for y in steps for _ in steps)]
        along_x = [_times(unit, x) + own[2 * t + 1] for t, x in enumerate(x for _ in steps for x in steps)]
        return [along_y, along_x]

    def _tap_axes(self, tap: int) -> tuple[int, int]:
        """Which of the displacements along y and x are the tap's."""
        return (tap, tap) if self._c.free else divmod(tap, self._c.kernel)

    def _axes(self, m: Module, displacements: Sequence[Sequence[Value]]) -> list[list[_Axis]]:
        along_y = [self._axis(m, displacement) for displacement in displacements[0]]
        return [along_y, along_y if displacements[1] is displacements[0] else [self._axis(m, along_x) for along_x in displacements[1]]]

    def _axis(self, m: Module, displacement: Value) -> _Axis:
        moved = delay(m, displacement[: DISPLACEMENT.width].as_signed(), 1)
        negative = delay(m, moved < 0, 1)
        size = delay(m, Mux(moved < 0, -moved, moved)[: DISPLACEMENT.width - 1], 1)
        rest, between = size[:FRACTION_BITS], size[:FRACTION_BITS].any()
        near = size[FRACTION_BITS:]

        def pixel(distance: Value) -> Value:
            return delay(m, Mux(negative, -distance, distance)[: NEAR.width].as_signed(), 1)

        # The far one of a tap on a pixel is the same, with all of its nearness.
        nearness = tuple(delay(m, value[:NEARNESS], 1) for value in (ONE - rest, Mux(between, rest, ONE)))
        return _Axis((pixel(near), pixel(near + between)), (nearness[0], nearness[1]), delay(m, between, 1))

    def _row(self, m: Module, pixel: data.View, distance: Value) -> dict[str, Value]:
        c = self._c
        slot, bank = delay(m, pixel.row.slot + distance, 1), delay(m, pixel.row.bank + row_bank(c, distance), 1)
        inside = delay(m, (distance >= pixel.first) & (distance <= pixel.last), 1)
        return {
            "slot": delay(m, wrapped(slot, c.rows)[: len(pixel.row.slot)], 1),
            "bank": delay(m, wrapped(bank, c.banks)[: len(pixel.row.bank)], 1),
            "inside": delay(m, inside, 1),
        }

    def _column(self, m: Module, pixel: data.View, distance: Value) -> dict[str, Value]:
        c = self._c
        at, quotient = delay(m, pixel.rest + distance, 1), delay(m, pixel.quotient, 1)
        inside = delay(m, (distance + pixel.left >= 0) & (distance <= pixel.right), 1)
        quotient = Mux(at < 0, quotient - 1, Mux(at >= c.banks, quotient + 1, quotient))[: column_bits(c)]
        return {
            "quotient": delay(m, quotient, 1),
            "rest": delay(m, wrapped(at, c.banks)[: len(pixel.rest)], 1),
            "inside": delay(m, inside, 1),
        }

    def _masks(self, m: Module) -> list[Value]:
        """Of each tap its factor: 256 for 1 where the command has fractions, else 1 for 1."""
        c, command = self._c, self.command
        fractional = command.masked | ((command.form != Form.REGULAR) & (command.fraction != 0))
        one = Mux(fractional, 1 << 8, 1)
        if not c.masked:
            return [one] * c.taps
        factors = (Mux(command.masked, mask - command.mask_zero_point, one)[: _MASK.width].as_signed() for mask in self.i.masks)
        return [delay(m, factor, _TO_DISPLACEMENTS + _TO_NEAR + _TO_PLACES) for factor in factors]


def _times(value: Value, step: int) -> Value:
    """By a constant from -2 to 2."""
    size = value << (abs(step) - 1) if step else Const(0)
    return -size if step < 0 else size


def _weight(m: Module, y: Value, x: Value, mask: Value) -> Value:
    """The product of two nearnesses and a factor, two cycles later: rounded half up from 16 bits behind the point."""
    shift = 2 * FRACTION_BITS + 8 - 12
    nearness = delay(m, y * x, 1)
    return delay(m, (nearness * delay(m, mask, 1) + (1 << (shift - 1))) >> shift, 1)
