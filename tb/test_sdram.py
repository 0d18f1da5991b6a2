"""The SDRAM controller with its chip on the pins equals an array of bytes, and breaks none of the chip's rules."""

from typing import Any

import cocotb
import numpy as np

from ..rtl.arch.sdram import Sdram
from .axi import PAGE, Traffic
from .runner import parameters
from .sdram import Chip, OnPins
from .streams import reset


def _on_pins(dut: Any) -> tuple[Sdram, OnPins, bytearray]:
    """A chip, and its bytes."""
    about = parameters()
    chip = Sdram(**about["chip"])
    return chip, OnPins(dut, Chip(chip), capture=about["capture"]), bytearray(chip.size)


@cocotb.test()
async def equals_an_array_of_bytes(dut: Any) -> None:
    about, (chip, on_pins, golden) = parameters(), _on_pins(dut)
    whole_row = chip.banks * chip.columns * chip.data_bytes
    pages = [*range(3), whole_row // PAGE, chip.size // 2 // PAGE]  # rows that follow each other, and others of the same bank
    traffic = Traffic(dut, about["prefixes"], golden, bus_bytes=about["bus_bytes"], seed=1, chip=on_pins, pages=pages)
    await reset(dut)
    for _ in range(about["rounds"]):  # each at other speeds
        await traffic.run_at_random(60, limit=200_000)
    for _ in range(3 * chip.refi_cycles):  # refreshes without traffic
        await traffic.step({})
    assert np.array_equal(on_pins.chip.data, np.frombuffer(golden, np.uint8))


@cocotb.test()
async def neither_direction_waits_for_the_other(dut: Any) -> None:
    about, (chip, on_pins, golden) = parameters(), _on_pins(dut)
    await reset(dut)
    for write in (False, True):
        traffic = Traffic(dut, about["prefixes"], golden, bus_bytes=about["bus_bytes"], seed=1, chip=on_pins)
        await traffic.stall_one_direction(write, limit=chip.power_up_cycles + 10_000)
