"""The registers in an SDRAM's pads, with the chip's clock a quarter of a period late and wires that take time."""

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.io import SimulationPort
from amaranth.sim import Simulator
from celosia.boards.sdram_pads import SdramPads
from celosia.rtl.arch.sdram import ULX3S
from celosia.rtl.memory.sdram import SdramController
from celosia.tb.sdram import Chip

NS = 1e-9
PERIOD, QUARTER = 20, 5
ACCESS, HOLD = 6, 2.5  # from the chip's clock edge: its word is there; the one before is gone
CHIP = replace(ULX3S, mhz=1000 / PERIOD, power_up=1000)
WORDS = {0: 0x12345678, 4: 0xDEADBEEF, 1024: 0x00FF00FF, 2052: 0xA5A5_5A5A}


def run(wires: float) -> dict[int, int]:
    """What is read of WORDS, written before. wires: ns from the pads to the chip and back."""
    widths = {"clk_en": 1, "cs": 1, "ras": 1, "cas": 1, "we": 1, "ba": 2, "a": 13, "dqm": 2}
    inverted = {"cs", "ras", "cas", "we"}
    port: Any = SimpleNamespace(
        **{name: SimulationPort("o", width, invert=name in inverted) for name, width in widths.items()}, dq=SimulationPort("io", 16)
    )
    m = Module()
    m.domains.late = ClockDomain(reset_less=True)
    m.submodules.controller = controller = SdramController(CHIP, 4, capture=SdramPads.capture)
    m.submodules.pads = pads = SdramPads(CHIP, port)
    wiring.connect(m, controller.chip, pads.chip)
    chip, found, rng = Chip(CHIP), dict[int, int](), random.Random(1)

    async def chip_side(ctx: Any) -> None:
        pins = (port.clk_en, port.cs, port.ras, port.cas, port.we, port.ba, port.a, port.dqm, port.dq)
        edge = ctx.tick("late").sample(*(pin.o for pin in pins), port.dq.oe[0])
        while True:
            _, _, *values = await edge
            answer = chip.clock(values)
            await ctx.delay((wires + HOLD) * NS)
            ctx.set(port.dq.i, rng.randrange(1 << 16))
            await ctx.delay((ACCESS - HOLD) * NS)
            ctx.set(port.dq.i, rng.randrange(1 << 16) if answer is None else answer)

    async def handshake(ctx: Any, channel: str, **values: int) -> None:
        for name, value in {**values, "valid": 1}.items():
            ctx.set(getattr(controller, f"s_axi_{channel}{name}"), value)
        await ctx.tick().until(getattr(controller, f"s_axi_{channel}ready"))
        ctx.set(getattr(controller, f"s_axi_{channel}valid"), 0)

    async def master(ctx: Any) -> None:
        ctx.set(controller.s_axi_bready, 1)
        ctx.set(controller.s_axi_rready, 1)
        for address, word in WORDS.items():
            await handshake(ctx, "aw", addr=address)
            await handshake(ctx, "w", data=word, strb=15, last=1)
            await ctx.tick().until(controller.s_axi_bvalid)
        for address in WORDS:
            await handshake(ctx, "ar", addr=address)
            (found[address],) = await ctx.tick().sample(controller.s_axi_rdata).until(controller.s_axi_rvalid)

    simulator = Simulator(m)
    simulator.add_clock(PERIOD * NS)
    simulator.add_clock(PERIOD * NS, phase=(PERIOD / 2 + QUARTER) * NS, domain="late")
    simulator.add_process(chip_side)
    simulator.add_testbench(master)
    simulator.run()
    assert not chip.violations, chip.violation
    return found


@pytest.mark.parametrize("wires", [0, 4, 8.9])
def test_words_come_in_time(wires: float) -> None:
    assert run(wires) == WORDS


def test_words_that_come_too_late_are_wrong() -> None:
    assert run(9.1) != WORDS
