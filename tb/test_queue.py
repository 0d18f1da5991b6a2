"""A queue gives what it is given."""

import random
from typing import Any

import cocotb

from .rules import check_streams
from .runner import parameters


@cocotb.test()
async def keeps_its_content(dut: Any) -> None:
    rng = random.Random(1)
    payloads = [rng.getrandbits(parameters()["bits"]) for _ in range(100)]
    await check_streams(dut, inputs={"i": payloads}, outputs={"o": payloads}, seed=1)
