"""A memory of one port equals an array of bytes, for its host behind AXI4 and for the other one that uses it."""

import random
from typing import Any

import cocotb

from ..rtl.memory.one_port import WORD_BYTES, access_layout
from .axi import PAGE, Traffic
from .runner import parameters
from .streams import reset
from .test_memory import equals_an_array_of_bytes

__all__ = ["both_at_once", "equals_an_array_of_bytes"]


class _Other:
    """Random accesses to the last page, while the host uses the others."""

    def __init__(self, dut: Any, seed: int) -> None:
        self._dut, self._rng, self._words = dut, random.Random(seed), dict[int, int]()
        self._first, self._end = (parameters()["size"] - PAGE) // WORD_BYTES, parameters()["size"] // WORD_BYTES
        self._layout = access_layout(self._end)
        self._asked, self._expected = dict[str, int](), list[int]()
        self.done = 0

    def drive(self) -> None:
        rng = self._rng
        if not self._asked and rng.random() < 0.7:
            place, mask = rng.randrange(self._first, self._end), rng.choice((0, 0, 0b1111, 0b0011, 0b0100))
            if mask or place in self._words:
                mask = mask if place in self._words else 0b1111
                self._asked = {"place": place, "word": rng.getrandbits(8 * WORD_BYTES), "mask": mask}
        self._dut.accesses__valid.value = bool(self._asked)
        self._dut.accesses__payload.value = self._layout.const(self._asked).as_bits()

    def sample(self) -> None:
        if self._expected:
            assert int(self._dut.found.value) == self._expected.pop()
        if not self._asked or not self._dut.accesses__ready.value:
            return
        place, word, mask = self._asked["place"], self._asked["word"], self._asked["mask"]
        if mask:
            written = sum(0xFF << 8 * i for i in range(WORD_BYTES) if mask >> i & 1)
            self._words[place] = self._words.get(place, 0) & ~written | word & written
        else:
            self._expected.append(self._words[place])
        self._asked, self.done = {}, self.done + 1


@cocotb.test()
async def both_at_once(dut: Any) -> None:
    rng, other = random.Random(1), _Other(dut, seed=1)
    golden = bytearray(parameters()["size"])
    traffic = Traffic(dut, parameters()["prefixes"], golden, bus_bytes=WORD_BYTES, seed=1, chip=other)
    await reset(dut)
    pages = len(golden) // PAGE - 1
    for address in range(0, PAGE * pages, 1024):
        assert traffic.write(0, address, [(0, 0b1111)] * 256)
    await traffic.finish(limit=20_000)
    for _ in range(300):
        address, beats = PAGE * rng.randrange(pages) + WORD_BYTES * rng.randrange(256), rng.randint(1, 16)
        if rng.random() < 0.5:
            traffic.write(0, address, [(rng.getrandbits(32), rng.choice((0b1111, 0b0110))) for _ in range(beats)])
        else:
            traffic.read(0, address, beats)
        for _ in range(rng.randrange(40)):
            await traffic.step({})
    await traffic.finish(limit=20_000)
    assert other.done > 500
