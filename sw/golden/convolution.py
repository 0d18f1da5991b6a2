"""Convolution: the matrix product (sw/golden/matmul.py) of a feature map's windows, group by group."""

import numpy as np
from numpy.typing import ArrayLike

from ...rtl.arch.steps import OUTSIDE
from ...rtl.arch.window import Window
from .matmul import MatMulParameters, accumulate, requantize_sums
from .requantize import Int


def convolution(feature_map: ArrayLike, weights: ArrayLike, window: Window, parameters: MatMulParameters) -> Int:
    """[lines * columns, N] of a map [height * width, C] and weights [N, kh * kw * C / groups], tap by tap. Raises as `matmul`."""
    p = parameters
    return requantize_sums(convolution_sums(feature_map, weights, window, p.a_zero_point, p.b_zero_point), p)


def convolution_sums(feature_map: ArrayLike, weights: ArrayLike, window: Window, a_zero_point: int, b_zero_point: int) -> Int:
    """The sums that `convolution` requantizes, exact."""
    taken = windows(feature_map, window, a_zero_point).reshape(window.lines * window.columns, window.taps, window.groups, -1)
    kernels = np.asarray(weights, np.int64).reshape(window.groups, -1, np.shape(weights)[1])
    sums = [accumulate(taken[:, :, g].reshape(len(taken), -1), kernel.T, a_zero_point, b_zero_point) for g, kernel in enumerate(kernels)]
    return np.concatenate(sums, axis=1)


def max_pool(feature_map: ArrayLike, window: Window, parameters: MatMulParameters) -> Int:
    """[lines * columns, C]: the largest of each channel of a map [height * width, C] in each window, requantized."""
    p = parameters
    taken = windows(feature_map, window, p.a_zero_point + OUTSIDE).reshape(window.lines * window.columns, window.taps, -1)
    return requantize_sums(taken.max(axis=1) - p.a_zero_point, p)


def pooled(pixels: ArrayLike, width: int) -> Int:
    """The largest of each 2 x 2 pixels of a map [pixels, C], of an even number of lines and columns, in each channel."""
    numbers = np.asarray(pixels, np.int64)
    return numbers.reshape(-1, 2, width // 2, 2, numbers.shape[1]).max(axis=(1, 3)).reshape(-1, numbers.shape[1])


def repeated(pixels: ArrayLike, width: int) -> Int:
    """Each pixel of a map [pixels, C] as 2 x 2."""
    numbers = np.asarray(pixels, np.int64)
    return numbers.reshape(-1, width, numbers.shape[1]).repeat(2, axis=0).repeat(2, axis=1).reshape(-1, numbers.shape[1])


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
