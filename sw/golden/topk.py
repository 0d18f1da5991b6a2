"""The k largest of a row of scores; of equal ones those that come first."""

import numpy as np
from numpy.typing import ArrayLike

from .requantize import Int


def topk(scores: ArrayLike, k: int) -> Int:
    """Indices of the ``k`` largest, rising; all where there are no more than ``k``. scores: [n], integers."""
    scores = np.asarray(scores, np.int64)
    return np.sort(np.argsort(-scores, kind="stable")[:k])
