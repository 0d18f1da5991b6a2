"""A network on the whole accelerator behind stalling AXI buses equals the executor; errors and resets leave a machine that works."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.task import bridge

from ..rtl.arch.registers import OFFSETS, ErrorCode
from ..rtl.arch.steps import Engine
from ..sw.driver.network import RESET, START, MachineError, Network
from ..sw.manifest import Manifest
from .runner import parameters
from .system import Memory, System

BASE = 0x8000_1000  # of the driver's buffer in memory
DRAINING = 8  # of the status register


def _check_run(network: Network, number: int) -> None:
    """Run on one of the given inputs and compare with what the executor made of it."""
    folder = Path(parameters()["folder"], f"run{number}")
    inputs = {port.port.name: np.load(folder / f"in_{port.port.name}.npy") for port in network.manifest.inputs}
    for name, values in network.run_integers(inputs).items():
        assert np.array_equal(values, np.load(folder / f"out_{name}.npy")), f"run {number}: output {name} differs"


async def _with_network(dut: Any, test: Callable[[System, Network], None], *, stalls: float) -> None:
    manifest = Manifest.load(Path(parameters()["folder"]))
    memory = Memory(BASE, manifest.memory_bytes)
    system = await System.start(dut, memory)
    system.stall(stalls, seed=0)

    def body() -> None:
        test(system, Network(system, manifest, base=BASE, watchdog=20_000))

    await bridge(body)()
    assert not system.violations, system.violations[0]
    assert not memory.outside, f"accesses outside of the buffer: {memory.outside}"


@cocotb.test()
async def equals_the_executor(dut: Any) -> None:
    def test(system: System, network: Network) -> None:
        for seed, stalls in enumerate((0.0, 0.3, 0.8)):
            system.stall(stalls, seed)
            _check_run(network, 0)
            _check_run(network, 1)

    await _with_network(dut, test, stalls=0.0)


@cocotb.test()
async def stops_on_bus_errors(dut: Any) -> None:
    def test(system: System, network: Network) -> None:
        manifest = network.manifest
        output = manifest.outputs[0]
        loads = [step.command["external"] for step in manifest.steps[manifest.prologue :] if step.engine is Engine.LOAD]
        faults = [
            (BASE + manifest.inputs[0].offset, ErrorCode.BUS_READ),
            (BASE + loads[-1], ErrorCode.BUS_READ),
            (BASE + output.offset, ErrorCode.BUS_WRITE),
        ]
        if not manifest.rom:
            faults.append((BASE + manifest.program_offset + 64 * (manifest.prologue + 3), ErrorCode.BUS_READ))
        for address, code in faults:
            system.memory.faults = range(address, address + 8)
            with pytest.raises(MachineError) as stopped:
                _check_run(network, 0)
            assert stopped.value.code == code, f"a fault at {address:#x} gave {stopped.value}"
            system.memory.faults = range(0)
            _check_run(network, 1)

    await _with_network(dut, test, stalls=0.2)


@cocotb.test()
async def stays_within_the_buffer(dut: Any) -> None:
    def test(system: System, network: Network) -> None:
        _check_run(network, 0)
        last = max(network.manifest.outputs, key=lambda port: port.offset)
        system.write_register(OFFSETS["memory_size"], last.offset + network.manifest.parameters.bus_bytes)
        with pytest.raises(MachineError) as stopped:
            _check_run(network, 0)
        assert stopped.value.code == ErrorCode.EXTERNAL_ADDRESS
        system.write_register(OFFSETS["memory_size"], network.manifest.memory_bytes)
        _check_run(network, 1)

    await _with_network(dut, test, stalls=0.2)


def _begin(system: System, network: Network) -> None:
    """Start a run, and leave it running."""
    system.write_register(OFFSETS["program_first"], network.manifest.prologue)
    system.write_register(OFFSETS["program_count"], len(network.manifest.labels))
    system.write_register(OFFSETS["control"], START)


def _reset(system: System) -> bool:
    """Reset the machine; whether bursts are outstanding."""
    system.write_register(OFFSETS["control"], RESET)
    status = system.read_register(OFFSETS["status"])
    assert not status & ~DRAINING, f"status {status:#x} after a reset"
    return bool(status & DRAINING)


@cocotb.test()
async def survives_resets(dut: Any) -> None:
    rng = random.Random(1)

    def test(system: System, network: Network) -> None:
        _check_run(network, 0)
        for number in range(12):
            _begin(system, network)
            system.wait_cycles(rng.randint(1, 700))
            _reset(system)
            if number % 3:  # else the next run begins while bursts are drained
                _check_run(network, number % 2)
        _check_run(network, 1)

    await _with_network(dut, test, stalls=0.6)


@cocotb.test()
async def drains_what_is_outstanding(dut: Any) -> None:
    """Reset while one channel is blocked: what was shown on it must stay until the memory takes it."""

    def test(system: System, network: Network) -> None:
        _check_run(network, 0)
        for seed, channel in enumerate(("m_axi_ar", "m_axi_r", "m_axi_aw", "m_axi_w", "m_axi_b")):
            system.stall(1.0, seed, channels=[channel])
            _begin(system, network)
            system.wait_cycles(4000)
            assert _reset(system), f"nothing was outstanding with {channel} blocked"
            system.stall(0.3, seed, channels=[channel])
            _check_run(network, seed % 2)

    await _with_network(dut, test, stalls=0.2)


@cocotb.test()
async def keeps_to_the_register_map(dut: Any) -> None:
    def test(system: System, network: Network) -> None:
        base, identity = OFFSETS["program_base"], OFFSETS["identity"]
        for seed, stalls in enumerate((0.0, 0.5)):
            system.stall(stalls, seed)
            system.write_register(base, 0x1234_5678)
            system.write_bytes(base + 1, b"\xab")
            system.write_bytes(base + 2, b"\xcd\xef")
            assert system.read_register(base) == 0xEFCD_AB78
            before = system.read_register(identity)
            system.write_register(identity, 0)
            assert system.read_register(identity) == before
            for unmapped in (OFFSETS["watchdog"] + 4, 0x100, 0xFFFC):
                system.write_register(unmapped, 0xFFFF_FFFF)
                assert system.read_register(unmapped) == 0
            assert system.read_register(OFFSETS["control"]) == 0
            assert system.read_register(base) == 0xEFCD_AB78

    await _with_network(dut, test, stalls=0.0)
