"""Cycles of bursts on the SDRAM controller with its chip: `nox -s bench` writes them to docs/blocks/memory.md."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from amaranth.hdl import Signal
from amaranth.sim import Simulator, SimulatorContext
from celosia.gen.pages import write_section
from celosia.rtl.arch.sdram import ULX3S
from celosia.rtl.memory.sdram import SdramController
from celosia.sw.driver.sdram import PINS
from celosia.tb.memory import AsStreams
from celosia.tb.sdram import Chip
from rich.progress import track

PAGE = Path(__file__).parents[1] / "docs" / "blocks" / "memory.md"
CHIP = replace(ULX3S, power_up=1000)  # a shorter wait changes nothing else
BUS_BYTES, BEATS, BURSTS = 8, 64, 64
BURST_BYTES = BUS_BYTES * BEATS
LEGEND = f"""
Bursts of {BEATS} beats of {BUS_BYTES} bytes, simulated with the chip of ULX3S boards at {CHIP.mhz} MHz, every rule of it checked. Cycles
from the first address to the last answer, refreshes that come then among them. The share is that of a word of {CHIP.data_bits} bits a
cycle, which is {CHIP.mhz * CHIP.data_bytes:.0f} MB/s. The master never waits and has up to four bursts under way in each direction.
"""
Burst = tuple[bool, int]  # whether it writes, address


def cycles(bursts: Sequence[Burst], *, beats: int = BEATS, after: Sequence[Burst] = ()) -> int:
    """Of all bursts together. after: what was done before, which is not counted."""
    dut, chip, taken = AsStreams(SdramController(CHIP, BUS_BYTES), BUS_BYTES), Chip(CHIP), list[int]()
    pins: list[Signal] = [getattr(dut.chip, name) for name in PINS[:-2]] + [dut.chip.dq.o, dut.chip.dq.oe]
    streams = [getattr(dut, f"s_axi_{channel}") for channel in ("ar", "aw", "w", "r", "b")]
    full = (1 << BUS_BYTES) - 1

    async def step(ctx: SimulatorContext) -> list[bool]:
        """Which streams moved."""
        moved = [stream.valid & stream.ready for stream in streams]
        _, _, *values = await ctx.tick().sample(*moved, dut.s_axi_r.payload.last, *pins)
        answer = chip.clock(values[len(moved) + 1 :])
        ctx.set(dut.chip.dq.i, answer or 0)
        return [*map(bool, values[: len(moved) + 1])]

    async def do(ctx: SimulatorContext, todo: Sequence[Burst], count: int) -> int:
        waiting = {False: [a for write, a in todo if not write], True: [a for write, a in todo if write]}
        words, left, under_way, now = count * len(waiting[True]), len(todo), {False: 0, True: 0}, 0
        while left:
            for write, port in (False, dut.s_axi_ar), (True, dut.s_axi_aw):
                ctx.set(port.valid, bool(waiting[write]) and under_way[write] < 4)
                ctx.set(port.payload, {"address": waiting[write][0] if waiting[write] else 0, "len": count - 1})
            ctx.set(dut.s_axi_w.valid, words > 0)
            ctx.set(dut.s_axi_w.payload, {"strb": full, "last": words % count == 1})
            ar, aw, w, r, b, last = await step(ctx)
            for write, begins, ends in (False, ar, r and last), (True, aw, b):
                if begins:
                    waiting[write].pop(0)
                under_way[write] += begins - ends
                left -= ends
            words -= w
            now += 1
        return now

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(dut.s_axi_r.ready, 1)
        ctx.set(dut.s_axi_b.ready, 1)
        for _ in range(CHIP.power_up_cycles + 60):
            await step(ctx)
        await do(ctx, after, 1)
        taken.append(await do(ctx, bursts, beats))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert not chip.violations, chip.violation
    return taken[0]


def main() -> None:
    rng = random.Random(1)
    one = {write: cycles([(write, 0)], after=[(write, BURST_BYTES)]) for write in (False, True)}
    closed = {write: cycles([(write, 0)]) for write in (False, True)}
    single = {write: cycles([(write, 0)], beats=1, after=[(write, BURST_BYTES)]) for write in (False, True)}
    places = [BURST_BYTES * rng.randrange(CHIP.size // BURST_BYTES) for _ in range(BURSTS)]
    half = CHIP.size // 2
    streams = {
        f"{BURSTS} reads, one after the other in memory": [(False, BURST_BYTES * i) for i in range(BURSTS)],
        f"{BURSTS} writes, one after the other in memory": [(True, BURST_BYTES * i) for i in range(BURSTS)],
        f"{BURSTS} reads at random places": [(False, place) for place in places],
        f"{BURSTS} writes at random places": [(True, place) for place in places],
        f"{BURSTS} reads and {BURSTS} writes in turn, from one place to another": [
            (write, half * write + BURST_BYTES * i) for i in range(BURSTS) for write in (False, True)
        ],
    }
    words = BURST_BYTES // CHIP.data_bytes
    lines = ["| | cycles | share of peak |", "| --- | ---: | ---: |"]
    for name, kind in ("read", False), ("write", True):
        lines.append(f"| one {name} of a beat, its row open | {single[kind]} | |")
        for state, of_state in ("open", one), ("closed", closed):
            lines.append(f"| one {name}, its row {state} | {of_state[kind]} | {100 * words / of_state[kind]:.1f} % |")
    for name, bursts in track(streams.items(), description="memory"):
        found = cycles(bursts)
        lines.append(f"| {name} | {found:,} | {100 * words * len(bursts) / found:.1f} % |")
    write_section(PAGE, "bench", LEGEND + "\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
