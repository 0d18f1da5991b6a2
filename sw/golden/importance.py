"""How much attention each token received, and which of them received most (SpAtten, arXiv 2012.09852)."""

import numpy as np
from numpy.typing import ArrayLike

from .requantize import Int
from .topk import topk

MODULUS = 1 << 32


def add_attention(importance: ArrayLike, attention: ArrayLike, zero_point: int) -> Int:
    """The importance [n] of tokens after more rows of attention [rows, n], modulo 2**32."""
    return (np.asarray(importance, np.int64) + (np.asarray(attention, np.int64) - zero_point).sum(axis=0)) % MODULUS


def pick(importance: ArrayLike, k: int, protected: int) -> tuple[Int, Int]:
    """Places of the k most important tokens, rising, and their importance. The first ``protected`` are more important than all others;
    of equally important ones the first ones are picked."""
    scores = np.array(importance, np.int64)
    scores[:protected] = MODULUS - 1
    picked = topk(scores, k)
    return picked, scores[picked]
