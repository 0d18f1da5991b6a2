"""Random BF16 patterns for the tests of DRAM that computes."""

import numpy as np
from numpy.typing import NDArray


def patterns(rng: np.random.Generator, shape: tuple[int, ...], exponents: tuple[int, int]) -> NDArray[np.uint16]:
    """Of biased exponents from the first up to, but without, the last: 0 has the subnormals, 255 infinities and NaNs."""
    sign, exponent, fraction = rng.integers(0, 2, shape), rng.integers(*exponents, shape), rng.integers(0, 128, shape)
    return (sign << 15 | exponent << 7 | fraction).astype(np.uint16)
