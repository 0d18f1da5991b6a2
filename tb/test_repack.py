"""Words to beats and back: elements keep their values where they fit, and the rest of a row's last word is zero."""

import random
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from .beats import Rows, random_rows
from .rules import check_streams
from .runner import parameters


def _words(rows: Rows, wide: bool, rest: NDArray[np.uint8]) -> list[int]:
    """Rows in words; a row's last word ends with bytes of ``rest``."""
    words = []
    for row in rows:
        octets = row.astype(np.int16 if wide else np.int8).tobytes()
        for start in range(0, len(octets), len(rest)):
            word = octets[start : start + len(rest)]
            words.append(int.from_bytes(word + rest[len(word) :].tobytes(), "little"))
    return words


@cocotb.test()
async def keeps_the_elements(dut: Any) -> None:
    rng, word_bytes, lanes = random.Random(1), parameters()["word_bytes"], parameters()["lanes"]
    for cols in (1, lanes + 1, word_bytes // 2, word_bytes, 3 * word_bytes - 1):
        for wide_in, wide_out in ((0, 0), (0, 1), (1, 0), (1, 1)):
            dut.cols.value, dut.wide_in.value, dut.wide_out.value = cols, wide_in, wide_out
            rows = random_rows(rng, [cols] * 8, bits=16 if wide_in and wide_out else 8)
            noise = np.frombuffer(rng.randbytes(word_bytes), np.uint8)
            # With one beat to a word, words flow in and out without a bubble.
            steady = 2 * lanes == word_bytes and wide_in and wide_out
            await check_streams(
                dut,
                inputs={"i": _words(rows, bool(wide_in), noise)},
                outputs={"o": _words(rows, bool(wide_out), np.zeros(word_bytes, np.uint8))},
                seed=cols,
                without_bubbles=None if steady else [],
            )
