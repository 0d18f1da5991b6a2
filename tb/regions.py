"""Where random commands have their operands in a scratchpad of noise."""

import random

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.parameters import MachineParameters


class Regions:
    """Regions of the scratchpad, one after the other, with gaps."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self.end = rng, 0

    def matrix(self, rows: int, words: int) -> tuple[int, int]:
        """(address, stride) of a matrix of rows of ``words`` words."""
        stride = words + self._rng.choice((0, 0, 1, 3))
        address = self.end + self._rng.randint(0, 3)
        self.end = address + stride * rows
        return address, stride


def noise(rng: random.Random, p: MachineParameters) -> NDArray[np.uint8]:
    return np.frombuffer(rng.randbytes(p.scratchpad_words * p.word_bytes), np.uint8).reshape(p.scratchpad_words, -1).copy()
