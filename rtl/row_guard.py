"""What comes in front of a block that holds whole rows: it finds the malformed ones, and limits how much of them gets further."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream

from .arch.blocks import BlockError


def guard(m: Module, rows: stream.Interface, *, row_elements: int, refuse: Value, errors: Value, clear: Value) -> data.View:
    """The beats a cycle later, without those that a row has too many but for its last; ``bad`` if the row is malformed up to here.

    errors: BlockError bits of the bad rows since ``clear``. refuse: a row that comes while it is high is bad, and counts as PARAMETER.
    """
    beat = rows.payload
    lanes = len(beat.keep)
    row_beats = -(-row_elements // lanes)
    most = row_elements - (row_beats - 1) * lanes  # elements in the last beat of the longest row
    guarded = Signal(data.StructLayout({"beat": beat.shape(), "valid": 1, "first": 1, "bad": 1}))
    taken = rows.valid & rows.ready
    before = Signal(range(row_beats + 1))  # beats of this row before this one, up to row_beats
    faults, found = Signal(len(BlockError)), Signal(len(BlockError))
    gap = (~beat.keep[: lanes - 1] & beat.keep[1:]).any() if lanes > 1 else 0
    exceeds = (before == row_beats - 1) & (~beat.last | Cat(beat.keep[most:], 0).any())
    first = before == 0
    m.d.comb += found.eq(
        Mux(first, 0, faults)
        | Mux(gap | ~beat.keep[0] | ~(beat.last | beat.keep[-1]), BlockError.EMPTY.value, 0)
        | Mux(exceeds, BlockError.LONG.value, 0)
        | Mux(first & refuse, BlockError.PARAMETER.value, 0)
    )
    m.d.sync += [
        guarded.beat.eq(beat),
        guarded.valid.eq(taken & (beat.last | (before != row_beats))),
        guarded.first.eq(first),
        guarded.bad.eq(found.any()),
    ]
    with m.If(clear):
        m.d.sync += errors.eq(0)
    with m.If(taken):
        m.d.sync += [faults.eq(found), before.eq(Mux(beat.last, 0, before + (before != row_beats)))]
        with m.If(beat.last):
            m.d.sync += errors.eq(Mux(clear, 0, errors) | found)
    return guarded
