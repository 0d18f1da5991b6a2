"""Networks on a board with PYNQ: the driver and the board's script on the core that Vivado gets, Verilated, behind a PYNQ of our own."""

import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celosia.boards import VIVADO_BOARDS
from celosia.boards.vivado.board import CORES
from celosia.rtl.arch.registers import IDENTITY, OFFSETS
from celosia.sw import open_device
from celosia.sw.compiler.program import Program
from celosia.sw.driver.device import DeviceError
from celosia.sw.driver.network import Network
from celosia.sw.driver.pynq_device import PynqDevice
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.manifest import Manifest
from celosia.tb.runner import build_machine

from tests.fake_pynq import FakePynq
from tests.small_network import MACHINE, check, small_program

BASE = 0x12000  # of the buffer


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return small_program(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def folder(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is copied to the board."""
    found = tmp_path_factory.mktemp("out") / "pynq-z2"
    VIVADO_BOARDS["pynq-z2"].build(Manifest.of(program, rom=False), found)
    for name in ("system.bit", "system.hwh"):  # Vivado's
        (found / name).write_bytes(b"")
    return found


@pytest.fixture(scope="module")
def library(folder: Path) -> Path:
    return build_machine(folder / CORES / "accelerator" / "accelerator.v")


@pytest.fixture
def pynq(library: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePynq]:
    with VerilatedDevice(library, memory_bytes=BASE + program.memory_bytes) as device:
        device.write_memory(0, b"\x55" * (BASE + program.memory_bytes))  # of others, and of the buffer's last user
        fake = FakePynq(device, BASE)
        monkeypatch.setitem(sys.modules, "pynq", fake)
        yield fake


def open_board(folder: Path) -> Network:
    return open_device(f"pynq:{folder / 'system.bit'}", folder / "network")


def test_a_board_needs_no_compiler() -> None:
    """What drives a device takes numpy and pyserial alone."""
    script = "import sys, celosia.sw.devices; print(*{name.partition('.')[0] for name in sys.modules} - {*sys.stdlib_module_names})"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert not {"onnx", "highspy", "scipy", "matplotlib", "rich", "click", "jinja2", "amaranth"} & {*found}
    assert {"celosia", "numpy", "serial"} <= {*found}


def test_a_network(pynq: FakePynq, folder: Path, program: Program) -> None:
    with open_board(folder) as network:
        for seed in range(3):
            check(network, program, seed)
        counters = network.counters()
        assert 0 < counters["mac_cycles"] <= counters["cycles"]
        assert not pynq.freed
    assert pynq.freed == [BASE]
    assert pynq.device.read_memory(0, BASE) == b"\x55" * BASE


def test_the_script_of_the_board(
    pynq: FakePynq, folder: Path, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = program.graph.inputs
    image = np.random.default_rng(1).normal(size=port.shape).astype(np.float32)
    with open_board(folder) as network:
        expected = network.run(image)
    np.save(tmp_path / "x.npy", image)
    named: dict[str, Any] = {port.name: image}
    np.savez(tmp_path / "x.npz", **named)
    for name in ("x.npy", "x.npz"):
        monkeypatch.setattr(sys, "argv", ["run.py", str(tmp_path / name), str(tmp_path / "y.npz")])
        runpy.run_path(str(folder / "run.py"), run_name="__main__")
        with np.load(tmp_path / "y.npz") as found:
            assert found.keys() == expected.keys()
            assert all((found[output] == values).all() for output, values in expected.items())
        assert capsys.readouterr().out.startswith(f"{tmp_path / 'y.npz'}: {', '.join(expected)}, in ")
        (tmp_path / "y.npz").unlink()


def test_another_network_is_refused(pynq: FakePynq, folder: Path, program: Program, tmp_path: Path) -> None:
    Manifest.of(replace(program, parameters=replace(MACHINE, scratchpad_kib=4)), rom=False).save(tmp_path)
    with pytest.raises(DeviceError, match=r"^the device was generated for configuration \w{16}, but network mlp was compiled for \w{16}$"):
        open_device(f"pynq:{folder / 'system.bit'}", tmp_path)
    assert pynq.freed == [BASE]


def test_no_pynq(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(DeviceError, match=r"^no pynq: a pynq: device is opened on the board, in PYNQ's Python$"):
        open_board(folder)


def refused(folder: Path) -> str:
    with pytest.raises(DeviceError) as found:
        open_board(folder)
    return str(found.value)


def test_what_can_not_be_opened(pynq: FakePynq, folder: Path, program: Program, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=rf"^{tmp_path}/x\.bit can't be loaded: Bitstream file {tmp_path}/x\.bit does not exist\.$"):
        open_device(f"pynq:{tmp_path / 'x.bit'}", folder / "network")
    pynq.cell = "dma"
    assert refused(folder).startswith(f"{folder / 'system.bit'} can't be loaded: ")
    pynq.cell, pynq.room = "accelerator", 100
    assert refused(folder) == f"no buffer of {program.memory_bytes:,} bytes: Failed to allocate Memory!"
    pynq.room, pynq.address = 1 << 20, (1 << 32) - 2048
    assert refused(folder) == "the buffer lies at 0xfffff800, which the accelerator can't address"
    assert pynq.freed == [pynq.address]


def test_the_device(pynq: FakePynq, folder: Path) -> None:
    with PynqDevice(folder / "system.bit", memory_bytes=256) as device:
        assert device.base == BASE
        assert device.read_memory(BASE, 256) == bytes(256)
        device.write_memory(BASE + 3, np.arange(4, dtype=np.uint16))
        device.write_memory(BASE + 256, b"")
        assert device.read_memory(BASE, 12) == b"\0\0\0\0\0\1\0\2\0\3\0\0"
        assert device.read_memory(BASE + 256, 0) == b""
        assert pynq.device.read_memory(BASE + 256, 4) == b"\x55" * 4
        for address, size in ((BASE - 1, 1), (BASE + 256, 1), (BASE, 257), (0, 4), (BASE, -1)):
            with pytest.raises(DeviceError, match=f"^{size} bytes at {address:#x} are beyond the memory of 256 bytes at 0x12000$"):
                device.read_memory(address, size)
        with pytest.raises(DeviceError, match=r"^9 bytes at 0x120f8 are beyond the memory of 256 bytes at 0x12000$"):
            device.write_memory(BASE + 248, bytes(9))
        assert device.read_register(OFFSETS["identity"]) == IDENTITY
        device.write_register(OFFSETS["watchdog"], (1 << 32) - 1)
        assert device.read_register(OFFSETS["watchdog"]) == (1 << 32) - 1
        with pytest.raises(DeviceError, match=r"^register 0x38 must be written with 0 to 2\*\*32-1, not -1$"):
            device.write_register(OFFSETS["watchdog"], -1)
        assert not device.wait_interrupt(50_000)  # nothing runs
        before = device.cycles
        assert not device.wait_interrupt(50_000)
        assert device.cycles >= before + 50_000
    device.close()
    assert pynq.freed == [BASE]
    uses = (
        *(lambda: device.read_register(0), lambda: device.write_register(0, 1)),
        *(lambda: device.read_memory(BASE, 1), lambda: device.cycles),
    )
    for use in uses:
        with pytest.raises(DeviceError, match=r"^the device is closed$"):
            use()
