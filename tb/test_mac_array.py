"""The multiplier array against exact dot products."""

import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from numpy.typing import NDArray

from ..rtl.arch.parameters import MachineParameters
from ..rtl.mac_array import MacArray
from .runner import parameters

Case = tuple[NDArray[np.int64], NDArray[np.int64]]  # a tile [cols, rows], and the operands [cycles, rows] that stream past it


def _packed(values: NDArray[np.int64], bits: int) -> int:
    return sum((int(value) & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(values.flat))


def _extremes(rng: random.Random, p: MachineParameters, most: int) -> Iterator[Case]:
    """Everything at its ends, or near zero, or anywhere."""
    weights, operands = (-most, -1, 0, 1, most), (-256, -255, -1, 0, 1, 255)
    for _ in range(200):
        pick = lambda some, reach: rng.choice((*some, rng.randint(-reach, reach)))  # noqa: E731
        w = [[pick(weights, most) for _ in range(p.rows)] for _ in range(p.cols)]
        yield np.array(w), np.array([[pick(operands, 255) for _ in range(p.rows)] for _ in range(8)])
    for low in (-most, most):
        for high in (-most, most):
            tile = np.tile([[low], [high]], (-(-p.cols // 2), p.rows))[: p.cols]
            yield tile, np.array([[a] * p.rows for a in operands])


def _every_product(rng: random.Random, p: MachineParameters, most: int) -> Iterator[Case]:
    """Every weight of an even column by every operand, beside another weight in each row of the odd columns: the ends among them."""
    beside = np.array([-most, most, -1, 0, 1, -most + 1, most - 1, rng.randint(-most, most)])
    count = 2 * most + 1
    operands = np.arange(-256, 256)[:, None] + np.arange(p.rows)  # in each row in another order
    operands = (operands + 256) % 512 - 256
    for first in range(count):
        tile = np.empty((p.cols, p.rows), np.int64)
        tile[0::2] = (first + np.arange(tile[0::2].size).reshape(-1, p.rows) * 7) % count - most
        tile[1::2] = np.resize(beside, tile[1::2].shape)
        yield tile, operands


@cocotb.test()
async def sums_are_exact(dut: Any) -> None:
    about = parameters()
    p = MachineParameters(**about["machine"])
    array, rng, most = MacArray(p), random.Random(1), (1 << p.weight_bits) - 1
    sum_bits = array.sum_shape.width
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    if p.depthwise:
        dut.operands__shift.value = 0
        dut.operands__by_column.value = 0
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    expected: list[list[int]] = []
    cycle = 0
    cases = _every_product(rng, p, most) if about["every_product"] else _extremes(rng, p, most)
    for tile, operands in (*cases, (np.zeros((p.cols, p.rows), np.int64), np.zeros((array.latency, p.rows), np.int64))):
        expected += (operands @ tile.T).tolist()
        for i, a in enumerate(operands):
            dut.operands__a.value = _packed(a, 9)
            dut.operands__swap.value = int(i == 0)
            if i == 1:
                dut.operands__tile.value = _packed(tile, p.weight_bits + 1)
            await RisingEdge(dut.clk)
            if cycle >= array.latency:
                found, o = [], int(dut.o.value)
                for _ in range(p.cols):
                    total, carry, o = o & ((1 << sum_bits) - 1), o >> sum_bits & 1, o >> (sum_bits + 1)
                    found.append(total - (total >> (sum_bits - 1) << sum_bits) + carry)
                assert found == expected[cycle - array.latency], f"cycle {cycle}"
            cycle += 1
