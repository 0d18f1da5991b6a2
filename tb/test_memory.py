"""A memory behind AXI4, alone or shared by two masters, equals an array of bytes."""

import functools
from typing import Any

import cocotb

from .axi import Traffic
from .runner import parameters
from .streams import reset


@functools.cache
def _golden() -> bytearray:
    """What is in the memory, over all tests."""
    about = parameters()
    return bytearray(bytes(about["init"]).ljust(about["size"], b"\0"))


async def _traffic(dut: Any, seed: int) -> Traffic:
    about = parameters()
    traffic = Traffic(dut, about["prefixes"], _golden(), bus_bytes=about["bus_bytes"], seed=seed)
    await reset(dut)
    return traffic


@cocotb.test()
async def equals_an_array_of_bytes(dut: Any) -> None:
    for seed in range(6):
        await (await _traffic(dut, seed)).run_at_random(100, limit=200_000)


@cocotb.test()
async def passes_a_beat_a_cycle(dut: Any) -> None:
    """Bursts one after the other, in both directions at once; writes wait for their address, a cycle at first, and
    on a shared bus two each time."""
    traffic = await _traffic(dut, 1)
    full, size = (1 << parameters()["bus_bytes"]) - 1, parameters()["bus_bytes"]
    beats = min(64, parameters()["size"] // (4 * size))
    half, master = parameters()["size"] // 2, traffic.masters[0]
    for i in range(8):
        at = i % 2 * beats * size
        assert traffic.write(0, at, [(i * 1000 + j & 0xFFFF, full) for j in range(beats)])
        assert traffic.read(0, half - half % size + at, beats)
    await traffic.finish(limit=100 * beats)
    assert master.sinks["r"].transfers.bubbles == 0
    assert master.sources["w"].transfers.bubbles <= (1 if len(traffic.masters) == 1 else 2 * 8)


@cocotb.test()
async def neither_direction_waits_for_the_other(dut: Any) -> None:
    for write in (False, True):
        await (await _traffic(dut, 1)).stall_one_direction(write, limit=5_000)


@cocotb.test()
async def masters_take_turns(dut: Any) -> None:
    """Of masters that always ask for beats none is a burst before another one."""
    traffic = await _traffic(dut, 1)
    for i in range(6 * len(traffic.masters)):
        assert traffic.read(i % len(traffic.masters), 0, 16)
    for _ in range(4 * 16 * len(traffic.masters)):
        await traffic.step({})
        taken = [len(master.sinks["r"].transfers.payloads) for master in traffic.masters]
        assert max(taken) - min(taken) <= 16
    await traffic.finish(limit=1000)
