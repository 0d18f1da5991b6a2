"""The simulated device: registers, memory, its timing and errors, on a design that copies memory."""

import ctypes.util
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from axi_copy import BEATS, AxiCopy
from celosia.gen import simulation
from celosia.gen.verilator import ToolError
from celosia.gen.verilog import to_verilog
from celosia.rtl.arch.dram import PRESETS
from celosia.sw.driver.device import DeviceError
from celosia.sw.driver.verilated import VerilatedDevice

SOURCE, TARGET, START, STATUS = 0x0, 0x4, 0x8, 0xC
MEMORY = 1 << 16
BITS = 64
BURST = BEATS * BITS // 8  # bytes


def build(folder: Path, design: AxiCopy, *, trace: bool = False) -> Path:
    verilog = folder / "copy.v"
    verilog.write_text(to_verilog(design, name="copy"))
    return simulation.build_library(verilog, "copy", folder, trace=trace, optimise="-O1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a build")  # its space must not matter


@pytest.fixture(scope="module")
def library(folder: Path) -> Path:
    return build(folder, AxiCopy(BITS), trace=True)


@pytest.fixture
def device(library: Path) -> Iterator[VerilatedDevice]:
    with VerilatedDevice(library, memory_bytes=MEMORY) as device:
        yield device


def start(device: VerilatedDevice, *, source: int = 0, target: int = MEMORY // 2, bursts: int = 8) -> None:
    device.write_register(SOURCE, source)
    device.write_register(TARGET, target)
    device.write_register(START, bursts)


def copy_cycles(device: VerilatedDevice, *, bursts: int) -> int:
    """Cycles of a copy of random data, which must arrive."""
    data = np.random.default_rng(bursts).bytes(bursts * BURST)
    device.write_memory(0, data)
    start(device, bursts=bursts)
    before = device.cycles
    assert device.wait_interrupt(100_000)
    assert device.read_memory(MEMORY // 2, len(data)) == data
    assert device.read_register(STATUS) == 0
    return device.cycles - before


def test_registers(device: VerilatedDevice) -> None:
    device.write_register(SOURCE, 0xFEDCBA98)
    device.write_register(TARGET, 0x12345678)
    assert device.read_register(SOURCE) == 0xFEDCBA98
    assert device.read_register(TARGET) == 0x12345678


def test_refused_register(device: VerilatedDevice) -> None:
    with pytest.raises(DeviceError, match="read of register 0x40: answered with an error"):
        device.read_register(0x40)
    with pytest.raises(DeviceError, match="write to register 0x40: answered with an error"):
        device.write_register(0x40, 1)
    with pytest.raises(DeviceError, match=r"register 0x4 must be written with 0 to 2\*\*32-1, not -1"):
        device.write_register(TARGET, -1)
    device.write_register(TARGET, 5)
    assert device.read_register(TARGET) == 5


def test_memory_takes_no_cycles(device: VerilatedDevice) -> None:
    before = device.cycles
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    device.write_memory(10, array.T)
    assert np.array_equal(np.frombuffer(device.read_memory(10, 24), np.int16).reshape(4, 3), array.T)
    assert device.read_memory(34, 2) == b"\0\0"
    device.write_memory(MEMORY - 1, b"x")
    assert device.read_memory(MEMORY - 1, 1) == b"x"
    assert device.read_memory(MEMORY, 0) == b""
    assert device.cycles == before


@pytest.mark.parametrize(("address", "size"), [(MEMORY, 1), (MEMORY - 1, 2), (0, MEMORY + 1), (2**64 - 1, 1)])
def test_beyond_the_memory(device: VerilatedDevice, address: int, size: int) -> None:
    with pytest.raises(DeviceError, match=f"read of {size} bytes at {address:#x}: beyond the memory"):
        device.read_memory(address, size)
    with pytest.raises(DeviceError, match=f"write of {size} bytes at {address:#x}: beyond the memory"):
        device.write_memory(address, bytes(size))


def test_negative_address(device: VerilatedDevice) -> None:
    with pytest.raises(DeviceError, match="must not be negative, not -1 and 1"):
        device.read_memory(-1, 1)


def test_full_bandwidth(device: VerilatedDevice) -> None:
    assert copy_cycles(device, bursts=64) - copy_cycles(device, bursts=32) == 32 * BEATS


@pytest.mark.parametrize("bandwidth", [Fraction(1, 2), Fraction(3, 4), Fraction(2, 7)])
def test_bandwidth(device: VerilatedDevice, bandwidth: Fraction) -> None:
    device.set_memory_timing(latency=1, bandwidth=bandwidth)
    extra = copy_cycles(device, bursts=63) - copy_cycles(device, bursts=7)
    assert abs(extra - 56 * BEATS / bandwidth) <= 2


def test_latency_is_paid_once(device: VerilatedDevice) -> None:
    """From address to first beat and from the write's address to its response; bursts under way overlap."""
    one = copy_cycles(device, bursts=1)
    many = copy_cycles(device, bursts=32)
    device.set_memory_timing(latency=61, bandwidth=Fraction(1))
    assert copy_cycles(device, bursts=1) == one + 60
    assert copy_cycles(device, bursts=32) == many + 60


def test_bursts_under_way_keep_their_latency(device: VerilatedDevice) -> None:
    start(device, bursts=1)
    device.wait_interrupt(1)
    device.set_memory_timing(latency=1000, bandwidth=Fraction(1))
    assert device.wait_interrupt(100)


def test_timeout_counts_cycles(device: VerilatedDevice) -> None:
    before = device.cycles
    assert not device.wait_interrupt(123)
    assert device.cycles == before + 123
    assert not device.wait_interrupt(0)
    assert device.cycles == before + 123


@pytest.mark.parametrize("place", ["source", "target"])
def test_bus_error(device: VerilatedDevice, place: str) -> None:
    start(device, **{place: MEMORY - BURST}, bursts=2)
    assert device.wait_interrupt(1000)
    assert device.read_register(STATUS) == 1 << 31
    copy_cycles(device, bursts=2)


def test_mute_and_recover(device: VerilatedDevice) -> None:
    device.write_memory(0, b"late")
    device.mute_memory(True)
    start(device)
    assert not device.wait_interrupt(1000)
    assert device.read_register(STATUS) == 8
    device.mute_memory(False)
    assert device.wait_interrupt(1000)
    assert device.read_memory(MEMORY // 2, 4) == b"late"


def test_two_devices_are_apart(library: Path) -> None:
    with VerilatedDevice(library, memory_bytes=64) as a, VerilatedDevice(library, memory_bytes=64) as b:
        a.write_register(SOURCE, 1)
        b.write_register(SOURCE, 2)
        assert (a.read_register(SOURCE), b.read_register(SOURCE)) == (1, 2)
        a.write_memory(0, b"a")
        assert b.read_memory(0, 1) == b"\0"


def test_closed(library: Path) -> None:
    device = VerilatedDevice(library, memory_bytes=64)
    device.close()
    device.close()
    for use in (lambda: device.read_register(0), lambda: device.cycles, lambda: device.wait_interrupt(1), lambda: device.read_memory(0, 1)):
        with pytest.raises(DeviceError, match="closed"):
            use()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory_bytes": 0}, r"memory_bytes must be 1 to 2\*\*32, not 0"),
        ({"memory_bytes": 64, "latency": 0}, "latency must be at least 1 cycle, not 0"),
        ({"memory_bytes": 64, "bandwidth": Fraction(3, 2)}, r"bandwidth must be above 0 and at most 1 .*, not Fraction\(3, 2\)"),
        ({"memory_bytes": 64, "bandwidth": Fraction(0)}, r"bandwidth must be above 0"),
        ({"memory_bytes": 64, "dram": PRESETS["aim"]}, "has pins for no DRAM, not DRAM of 8 channels, commands of 35 bits"),
    ],
)
def test_refused_settings(library: Path, arguments: dict, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        VerilatedDevice(library, **arguments)


def test_no_dram(device: VerilatedDevice) -> None:
    for use in (device.dram_counts, lambda: device.dram_row(0, 0, 0), lambda: device.mute_dram(0, True)):
        with pytest.raises(DeviceError, match="the accelerator has no DRAM"):
            use()


def test_not_a_library(tmp_path: Path) -> None:
    (tmp_path / "bad.so").write_text("not a library")
    for library in (tmp_path / "bad.so", tmp_path / "missing.so", Path(ctypes.util.find_library("c") or "")):
        with pytest.raises(DeviceError, match="is not a simulation library"):
            VerilatedDevice(library, memory_bytes=64)


def blocks(fst: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of the blocks of an FST file."""
    at = 0
    while at < len(fst):
        size = int.from_bytes(fst[at + 1 : at + 9], "big")
        yield fst[at], fst[at + 9 : at + 1 + size]
        at += 1 + size
    assert at == len(fst)


def test_waveform(device: VerilatedDevice, tmp_path: Path) -> None:
    first = device.cycles + 20
    device.trace(tmp_path / "copy.fst", first=first, last=first + 9)
    copy_cycles(device, bursts=8)
    content = dict(blocks((tmp_path / "copy.fst").read_bytes()))
    header, hierarchy = content[0], content[6]
    assert (int.from_bytes(header[:8], "big"), int.from_bytes(header[8:16], "big")) == (10 * first, 10 * (first + 9) + 5)
    assert b"m_axi_awaddr" in hierarchy


def test_waveform_refused(device: VerilatedDevice, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"waveform .*/missing/copy.fst: No such file"):
        device.trace(tmp_path / "missing" / "copy.fst", first=0, last=9)
    with pytest.raises(DeviceError, match="must be in order, not 9 to 8"):
        device.trace(tmp_path / "copy.fst", first=9, last=8)


def test_broken_bus_rule_is_named(folder: Path) -> None:
    library = build(folder, AxiCopy(32, broken=True))
    with VerilatedDevice(library, memory_bytes=MEMORY) as device:
        with pytest.raises(DeviceError, match=r"waveform .* built without waveforms"):
            device.trace(folder / "copy.fst", first=0, last=1)
        start(device)
        with pytest.raises(DeviceError, match="run: AXI wlast is not at the last beat of the burst"):
            device.wait_interrupt(1000)


@pytest.mark.parametrize("bits", [128])
def test_bus_width(folder: Path, bits: int) -> None:
    with VerilatedDevice(build(folder, AxiCopy(bits)), memory_bytes=MEMORY) as device:
        data = np.random.default_rng(bits).bytes(8 * BEATS * bits // 8)
        device.write_memory(0, data)
        start(device)
        assert device.wait_interrupt(1000)
        assert device.read_memory(MEMORY // 2, len(data)) == data


def test_build_is_cached(folder: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rebuilt(*_: object, **__: object) -> str:
        raise AssertionError("built again")

    build_again: Callable[..., Path] = build
    monkeypatch.setattr(simulation.verilator.Verilator, "run", rebuilt)
    assert build_again(folder, AxiCopy(BITS), trace=True) == library
    with pytest.raises(AssertionError, match="built again"):
        build_again(folder, AxiCopy(BITS), trace=False)


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.v"
    bad.write_text("module bad(clk, rst);\n  input clk;\n  input rst;\n  wire b = missing;\nendmodule\n")
    with pytest.raises(ToolError, match="missing"):
        simulation.build_library(bad, "bad", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(ToolError, match=r"bad\.v: no module 'good'"):
        simulation.build_library(bad, "good", tmp_path / "out")


def test_activity_is_recorded_from_the_first_change_on(device: VerilatedDevice) -> None:
    device.record_activity()
    cycles = copy_cycles(device, bursts=4)
    (begun, start), (ended, end) = device.activity()
    assert (start, end) == (1, 16)
    assert 0 < ended - begun <= cycles + 2
    device.record_activity()
    assert device.activity() == []
