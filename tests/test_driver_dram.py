"""The simulated device's DRAM: rows, answers and what the referee sees, on a design whose registers are commands."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from celosia.gen.simulation import build_library
from celosia.gen.verilog import to_verilog
from celosia.rtl.arch.dram import POSTPONED_REFRESHES, PRESETS, Command, Dram, command_record
from celosia.sw.driver.device import DeviceError
from celosia.sw.driver.verilated import VerilatedDevice
from dram_registers import ANSWER, ANSWERS, DATA, DramRegisters

C = Command
TIMING = PRESETS["aim"].timing
DRAM = Dram(timing=TIMING, channels=2, bank_groups=2, group_banks=2, rows=16, columns=4, column_bytes=16, buffer_columns=4)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dram")
    verilog = folder / "dram.v"
    verilog.write_text(to_verilog(DramRegisters(DRAM), name="dram"))
    return build_library(verilog, "dram", folder, optimise="-O1")


@pytest.fixture
def device(library: Path) -> Iterator[VerilatedDevice]:
    with VerilatedDevice(library, memory_bytes=64, dram=DRAM) as device:
        yield device


def do(device: VerilatedDevice, channel: int, command: Command, *, wait: int = 100, **operands: int) -> None:
    device.write_register(4 * channel, command_record(DRAM).pack({"command": command, **operands}))
    device.wait_interrupt(wait)


def test_rows_are_written_and_read(device: VerilatedDevice) -> None:
    device.write_register(DATA, 0x04030201)
    do(device, 1, C.ACT, bank=3, row=15)
    do(device, 1, C.WR, bank=3, column=2)
    row = device.dram_row(1, 3, 15)
    assert row.shape == (DRAM.columns, DRAM.column_bytes)
    assert row[2].tolist() == [1, 2, 3, 4] * 4
    assert row.sum() == row[2].sum()
    assert device.dram_row(0, 3, 15).sum() == 0
    assert device.read_register(ANSWERS) == 0
    do(device, 1, C.RD, bank=3, column=2)
    assert (device.read_register(ANSWERS), device.read_register(ANSWER)) == (1, 0x04030201)
    counts = device.dram_counts()
    assert {c: counts[c] for c in Command if c is not C.NOP and counts[c]} == {C.ACT: 1, C.WR: 1, C.RD: 1}
    assert sum(counts.values()) == 2 * device.cycles  # of both channels


def test_a_muted_channel_answers_nothing(device: VerilatedDevice) -> None:
    device.mute_dram(0, True)
    for channel in 0, 1:
        do(device, channel, C.ACT, bank=0, row=1)
        do(device, channel, C.RD, bank=0)
    assert device.read_register(ANSWERS) == 1
    device.mute_dram(0, False)
    do(device, 0, C.RD, bank=0)
    assert device.read_register(ANSWERS) == 2


@pytest.mark.parametrize("row", [(0, 4, 0), (0, 0, 16), (2, 0, 0)])
def test_no_such_row(device: VerilatedDevice, row: tuple[int, int, int]) -> None:
    with pytest.raises(IndexError):
        device.dram_row(*row)


def test_what_the_state_forbids_is_named_from_then_on(device: VerilatedDevice) -> None:
    violation = r"channel 1: cycle \d+: RD bank 2 column 0: the bank is closed"
    with pytest.raises(DeviceError, match=f"write to register 0x4: {violation}"):
        do(device, 1, C.RD, bank=2)
    with pytest.raises(DeviceError, match=f"read of register 0x80: {violation}"):
        device.read_register(DATA)
    with pytest.raises(DeviceError, match=f"write to register 0x80: {violation}"):
        device.write_register(DATA, 1)


def test_what_comes_too_early_is_named(device: VerilatedDevice) -> None:
    do(device, 0, C.ACT, wait=0, bank=1, row=2)
    with pytest.raises(
        DeviceError, match=rf"register 0x0: channel 0: cycle \d+: RD bank 1 comes \d+ cycles after ACT: tRCD_RD is {TIMING.rcd_rd}"
    ):
        do(device, 0, C.RD, wait=10, bank=1)


def test_refreshes_are_asked_for(device: VerilatedDevice) -> None:
    for _ in range(POSTPONED_REFRESHES + 3):
        device.wait_interrupt(TIMING.refi - 200)
        do(device, 0, C.REF)
        do(device, 1, C.REF)
    with pytest.raises(DeviceError, match=rf"run: channel 0: cycle \d+: a refresh is late: tREFI is {TIMING.refi}"):
        device.wait_interrupt((POSTPONED_REFRESHES + 3) * TIMING.refi)


@pytest.mark.parametrize(
    ("dram", "given"),
    [
        (None, "no DRAM"),
        (replace(DRAM, channels=1), "DRAM of 1 channels, commands of 15 bits and columns of 16 bytes"),
        (replace(DRAM, rows=32), "DRAM of 2 channels, commands of 16 bits and columns of 16 bytes"),
        (replace(DRAM, column_bytes=8), "DRAM of 2 channels, commands of 15 bits and columns of 8 bytes"),
    ],
)
def test_a_dram_that_does_not_fit_the_pins(library: Path, dram: Dram | None, given: str) -> None:
    own = "DRAM of 2 channels, commands of 15 bits and columns of 16 bytes"
    with pytest.raises(DeviceError, match=f"the simulated accelerator has pins for {own}, not {given}"):
        VerilatedDevice(library, memory_bytes=64, dram=dram)
