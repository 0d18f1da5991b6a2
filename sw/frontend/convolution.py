"""Convolution: where its windows lie, and what of the feature map is read as one row."""

import numpy as np

from ...rtl.arch.window import Window
from .onnx_file import Node
from .values import Index

_GIVEN = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1, "auto_pad": b"NOTSET"}


def window_of(node: Node, kernel: tuple[int, int], height: int, width: int) -> Window:
    """The windows of a Conv over a map of height by width. Raises ValueError where an attribute is not supported."""
    given = {**_GIVEN, **node.attributes}
    strides, dilations = (tuple(int(n) for n in given[name]) for name in ("strides", "dilations"))
    match given["auto_pad"]:
        case b"NOTSET":
            pads = tuple(int(n) for n in given["pads"])
        case b"VALID":
            pads = (0, 0, 0, 0)
        case b"SAME_UPPER" | b"SAME_LOWER" as mode:
            sizes = zip((height, width), kernel, strides, dilations, strict=True)
            total = [max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size) for size, k, s, d in sizes]
            before = [n - n // 2 if mode == b"SAME_LOWER" else n // 2 for n in total]
            pads = (*before, *(n - b for n, b in zip(total, before, strict=True)))
        case other:
            raise ValueError(f"auto_pad {other!r} is not supported")
    return Window(height=height, width=width, kernel=kernel, strides=strides, dilations=dilations, pads=pads, groups=int(given["group"]))


def in_patches(window: Window) -> bool:
    """Whether the windows neither overlap nor leave gaps, so that each can be stored as a row of a matrix."""
    return window.groups == 1 and window.strides == window.kernel and window.dilations == (1, 1) and not any(window.pads)


def operand_rows(window: Window, index: Index) -> Index:
    """[N, C, H, W] to [N, rows, columns]: a row for each patch, [C, kh, kw], if the windows are patches, else for each pixel, [C]."""
    n, c, h, w = index.shape
    if not in_patches(window):
        return index.transpose(0, 2, 3, 1).reshape(n, h * w, c)
    (kh, kw), oh, ow = window.kernel, window.lines, window.columns
    tiles = index[:, :, : oh * kh, : ow * kw].reshape(n, c, oh, kh, ow, kw)
    return tiles.transpose(0, 2, 4, 1, 3, 5).reshape(n, oh * ow, c * kh * kw)


def weight_columns(window: Window, weights: np.ndarray) -> np.ndarray:
    """[N, C, kh, kw] to [K, N], in the order of `operand_rows`; of windows over pixels tap by tap, [kh, kw, C]."""
    order = (0, 1, 2, 3) if in_patches(window) else (0, 2, 3, 1)
    return weights.transpose(order).reshape(len(weights), -1).T
