"""The windows of a convolution, which is then a matrix product (sw/golden/matmul.py)."""

import numpy as np
from numpy.typing import ArrayLike

from ...rtl.arch.window import Window
from .requantize import Int


def windows(feature_map: ArrayLike, window: Window, zero_point: int) -> Int:
    """Each window as a row, [lines * columns, kh * kw * C], of a map [height * width, C]; what lies outside of it is ``zero_point``."""
    pixels = np.asarray(feature_map, np.int64).reshape(window.height, window.width, -1)
    i, j, v, u = np.ogrid[: window.lines, : window.columns, : window.kernel[0], : window.kernel[1]]
    y = i * window.strides[0] - window.pads[0] + v * window.dilations[0]
    x = j * window.strides[1] - window.pads[1] + u * window.dilations[1]
    y, x = np.broadcast_arrays(y, x)
    inside = (y >= 0) & (y < window.height) & (x >= 0) & (x < window.width)
    taken = pixels[np.where(inside, y, 0), np.where(inside, x, 0)]
    return np.where(inside[..., None], taken, zero_point).reshape(window.lines * window.columns, -1)
