"""Deformable convolution, depthwise: each channel's taps lie where the pixel's offsets say, between pixels or not; requantized."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from ...rtl.arch.checks import require
from ...rtl.arch.deform import FRACTION_BITS, ONE, SAMPLE_BITS, Form
from .matmul import MatMulParameters, requantize_sums
from .requantize import Int

_WEIGHT_BITS = 12  # of a point's weight behind the point, its tap's mask among it


@dataclass(frozen=True, kw_only=True)
class Deformation:
    """Where the taps of each pixel of a map of ``lines`` x ``columns`` lie in a feature map of ``height`` x ``width``.

    kernel: taps along y and along x. y_start, x_start: the centre of the first pixel's kernel. strides: from a pixel to the next one, along
    y, then x. dilation: in pixels, without offsets.
    form: what offsets there are: none, one for each pixel, or 2 * kernel**2: of each tap, row by row, along y, then x (ONNX's order).
    fraction: bits of an offset behind the point, 0..4. offset_zero_point: of what stands for 0. offset_low, offset_high: what offsets, less
    their zero point, are limited to.
    masked: whether each tap has a factor, ``mask - mask_zero_point``. by_tap: whether taps are not added up.
    """

    height: int
    width: int
    lines: int
    columns: int
    kernel: int = 3
    y_start: int = 0
    x_start: int = 0
    strides: tuple[int, int] = (1, 1)
    dilation: int = 1
    form: Form = Form.REGULAR
    fraction: int = 0
    offset_zero_point: int = 0
    offset_low: int = 0
    offset_high: int = 0
    masked: bool = False
    by_tap: bool = False
    mask_zero_point: int = 0

    def __post_init__(self) -> None:
        for name in ("height", "width", "lines", "columns"):
            require(getattr(self, name) > 0, name, "at least 1", getattr(self, name))
        require({*self.strides} <= {1, 2}, "strides", "1 or 2", self.strides)
        require(0 <= self.fraction <= FRACTION_BITS, "fraction", f"in 0..{FRACTION_BITS}", self.fraction)
        require(self.offset_low <= self.offset_high, "offset_low", f"at most offset_high ({self.offset_high})", self.offset_low)

    @property
    def taps(self) -> int:
        return self.kernel**2

    @property
    def offsets(self) -> int:
        """Of a pixel."""
        return {Form.REGULAR: 0, Form.SQUARE: 1, Form.FREE: 2 * self.taps}[self.form]

    @property
    def fractional(self) -> bool:
        """Whether taps are samples with SAMPLE_BITS behind the point; else they are pixels."""
        return self.masked or (self.form is not Form.REGULAR and self.fraction > 0)

    @property
    def farthest(self) -> int:
        """Of a tap from the centre, along y or x, in 1 / ONE pixels: what a circuit's reach must be."""
        centre, limits = self.kernel // 2, (self.offset_low << self._shift, self.offset_high << self._shift)
        if self.form is Form.SQUARE:
            return centre * max(abs(self.dilation * ONE + limit) for limit in limits)
        return centre * self.dilation * ONE + (max(map(abs, limits)) if self.form is Form.FREE else 0)

    @property
    def _shift(self) -> int:
        return FRACTION_BITS - self.fraction

    @property
    def reach(self) -> int:
        """Pixels from the centre of a kernel to its farthest point."""
        return -(-self.farthest // ONE)

    def reads(self, lines: range, columns: range) -> tuple[range, range, Self]:
        """The rows and the columns of the map that some lines and columns of the result read, and the deformation of these alone."""
        starts, sizes = (self.y_start, self.x_start), (self.height, self.width)
        tops, found = list[int](), list[range]()
        for results, start, step, size in zip((lines, columns), starts, self.strides, sizes, strict=True):
            first, last = start + results[0] * step, start + results[-1] * step
            top = min(max(first - self.reach, 0), size - 1)
            tops.append(first - top)
            found.append(range(top, max(min(last + self.reach + 1, size), top + 1)))
        (height, width), (y_start, x_start) = map(len, found), tops
        size = {"height": height, "width": width, "lines": len(lines), "columns": len(columns)}
        return found[0], found[1], replace(self, **size, y_start=y_start, x_start=x_start)

    def displacements(self, offsets: ArrayLike | None) -> Int:
        """Of each pixel's taps from its centre, along y and x, in 1 / ONE pixels, [pixels, taps, 2]. offsets: [pixels, `offsets`]."""
        pixels = self.lines * self.columns
        steps = np.arange(self.kernel) - self.kernel // 2
        grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(1, self.taps, 2)
        regular = np.broadcast_to(grid * self.dilation * ONE, (pixels, self.taps, 2))
        if offsets is None:
            return regular
        limited = np.clip(np.asarray(offsets, np.int64) - self.offset_zero_point, self.offset_low, self.offset_high) << self._shift
        if self.form is Form.SQUARE:
            return regular + grid * limited.reshape(pixels, 1, 1)
        return regular + limited.reshape(pixels, self.taps, 2)


def deform(
    feature_map: ArrayLike,
    offsets: ArrayLike | None,
    masks: ArrayLike | None,
    weights: ArrayLike,
    deformation: Deformation,
    parameters: MatMulParameters,
) -> Int:
    """[lines * columns, C], or ``by_tap`` [lines * columns, taps * C], of a map [height * width, C] and weights [C, taps], all int8;
    offsets: int16 [lines * columns, `offsets`] unless the form is regular; masks: int8 [lines * columns, taps] where ``masked``.

    ``requantize(sum over taps t of weights[c, t] * S(c, t))``: S is the pixel less its zero point; or where ``fractional`` what `samples`
    makes of the four pixels around the tap, in 2**-SAMPLE_BITS, which parameters' multipliers make good. What lies outside counts 0.

    Raises OverflowError as `requantize_sums`.
    """
    taken = samples(np.asarray(feature_map, np.int64) - parameters.a_zero_point, offsets, masks, deformation)
    products = taken * np.asarray(weights, np.int64).T
    return requantize_sums(products if deformation.by_tap else products.sum(axis=1), parameters).reshape(len(taken), -1)


def samples(pixels: ArrayLike, offsets: ArrayLike | None, masks: ArrayLike | None, deformation: Deformation) -> Int:
    """The taps of each pixel of the result, [lines * columns, taps, C], of a map [height * width, C], its zero point subtracted.

    Where ``fractional``: points have weights of 2**-_WEIGHT_BITS, each the product of its nearness along y, along x and the mask as a
    fraction of 256, rounded half up. The two points nearest to the centre and farthest from it are added, and the other two of a tap
    between pixels along y and x; each of these sums is rounded half up to 2**-SAMPLE_BITS. Without masks all this is exact. With them each
    weight is off by at most 2**-13, each sum by 2**-9, so a tap by at most ``2**-11 * max |pixel| + 2**-8``.
    """
    d = deformation
    moved = d.displacements(offsets)
    flat = np.asarray(pixels, np.int64).reshape(d.height, d.width, -1)
    y, x = np.divmod(np.arange(d.lines * d.columns), d.columns)
    centre = np.stack([d.y_start + y * d.strides[0], d.x_start + x * d.strides[1]], axis=-1)[:, None]

    def at(places: Int) -> Int:
        """The map's pixels at [..., 2] places."""
        y, x = places[..., 0], places[..., 1]
        inside = (y >= 0) & (y < d.height) & (x >= 0) & (x < d.width)
        rows, columns = np.where(inside, y, 0), np.where(inside, x, 0)
        return np.where(inside[..., None], flat[rows, columns], 0)

    away = np.sign(moved)
    size = np.abs(moved)
    near, rest = size >> FRACTION_BITS, size & (ONE - 1)
    if not d.fractional:
        return at(centre + away * near)
    between = rest > 0
    mask = np.full((*moved.shape[:2], 1), 1 << 8) if masks is None else (np.asarray(masks, np.int64) - d.mask_zero_point)[..., None]
    to_weight, to_sample = 2 * FRACTION_BITS + 8 - _WEIGHT_BITS, _WEIGHT_BITS - SAMPLE_BITS

    def point(far: tuple[int, int], wanted: NDArray[np.bool_]) -> Int:
        """The pixels on one side of a tap along y and x, times their weights. Along an axis on which a tap is on a pixel that is all."""
        nearness = np.where(far, np.where(between, rest, ONE), ONE - rest).prod(axis=-1)
        weight = (np.where(wanted, nearness, 0)[..., None] * mask + (1 << (to_weight - 1))) >> to_weight
        return at(centre + away * (near + (between & np.array(far, bool)))) * weight

    either, both = np.logical_or(*np.moveaxis(between, -1, 0)), np.logical_and(*np.moveaxis(between, -1, 0))
    turns = point((0, 0), np.ones_like(both)) + point((1, 1), either), point((0, 1), both) + point((1, 0), both)
    first, second = ((total + (1 << (to_sample - 1))) >> to_sample for total in turns)
    return first + second
