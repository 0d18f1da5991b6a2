"""Convolution and average pooling: where the windows lie, and what of the feature map is read as one row."""

import numpy as np

from ...rtl.arch.window import Window
from .onnx_file import Node
from .values import Index


def numbers(node: Node, name: str, default: list[int]) -> list[int]:
    """An attribute of a number for each of ``default``. Raises ValueError."""
    values = [int(n) for n in node.attributes.get(name, default)]
    if len(values) != len(default):
        raise ValueError(f"{name} must be {len(default)} numbers, not {values}: only 2-D convolution is supported")
    return values


def window_of(node: Node, kernel: tuple[int, int], height: int, width: int, *, groups: int) -> Window:
    """The windows of a Conv or AveragePool over a map of height by width. Raises ValueError where an attribute is not supported."""
    if node.attributes.get("ceil_mode", 0):
        raise ValueError("ceil_mode is not supported")
    (s_y, s_x), (d_y, d_x) = (numbers(node, name, [1, 1]) for name in ("strides", "dilations"))
    above, left, below, right = numbers(node, "pads", [0] * 4)
    match node.attributes.get("auto_pad", b"NOTSET"):
        case b"NOTSET":
            pass
        case b"VALID":
            above = left = below = right = 0
        case b"SAME_UPPER" | b"SAME_LOWER" as mode:
            first = mode == b"SAME_LOWER"  # where the odd pixel goes
            above, below = _same(height, kernel[0], s_y, d_y, first=first)
            left, right = _same(width, kernel[1], s_x, d_x, first=first)
        case other:
            raise ValueError(f"auto_pad {other!r} is not supported")
    return Window(
        height=height,
        width=width,
        kernel=kernel,
        strides=(s_y, s_x),
        dilations=(d_y, d_x),
        pads=(above, left, below, right),
        groups=groups,
    )


def _same(size: int, kernel: int, stride: int, dilation: int, *, first: bool) -> tuple[int, int]:
    """Padding before and after, with which there are ceil(size / stride) windows."""
    total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    less, more = total // 2, total - total // 2
    return (more, less) if first else (less, more)


def in_patches(window: Window) -> bool:
    """Whether the windows neither overlap nor leave gaps, so that each can be stored as a row of a matrix."""
    return window.groups == 1 and window.strides == window.kernel and window.dilations == (1, 1) and not any(window.pads)


def pixels(index: Index) -> Index:
    """[N, C, ...] to a row for each pixel, [N, pixels, C]."""
    return np.moveaxis(index.reshape(*index.shape[:2], -1), 1, 2)


def operand_rows(window: Window, index: Index, patches: bool) -> Index:
    """[N, C, H, W] to [N, rows, columns]: a row for each of the ``patches``, [C, kh, kw], else for each pixel, [C]."""
    if not patches:
        return pixels(index)
    n, c, _, _ = index.shape
    (kh, kw), oh, ow = window.kernel, window.lines, window.columns
    tiles = index[:, :, : oh * kh, : ow * kw].reshape(n, c, oh, kh, ow, kw)
    return tiles.transpose(0, 2, 4, 1, 3, 5).reshape(n, oh * ow, c * kh * kw)


def weight_columns(weights: np.ndarray, patches: bool) -> np.ndarray:
    """[N, C, kh, kw] to [K, N], in the order of `operand_rows`; of windows over pixels tap by tap, [kh, kw, C]."""
    order = (0, 1, 2, 3) if patches else (0, 2, 3, 1)
    return weights.transpose(order).reshape(len(weights), -1).T
