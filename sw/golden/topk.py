"""The k largest of a row of scores; of equal ones those that come first."""

import numpy as np
from numpy.typing import ArrayLike

from .kbest import kbest
from .requantize import Int


def topk(scores: ArrayLike, k: int) -> Int:
    """Indices of the ``k`` largest, rising; all where there are no more than ``k``. scores: [n], integers."""
    return np.sort(kbest(scores, k))
