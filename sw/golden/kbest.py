"""The k best of a stream of scores, the best one first; of equal ones that which came first."""

import numpy as np
from numpy.typing import ArrayLike

from .requantize import Int


def kbest(scores: ArrayLike, k: int) -> Int:
    """Indices of the ``k`` largest, the largest first; all where there are no more than ``k``. scores: [n], integers."""
    return np.argsort(-np.asarray(scores, np.int64), kind="stable")[:k]
