"""The deformable convolution engine: what is built, and where the pixels of a feature map lie in its line buffer.

A result is a sum over the taps of a kernel, channel by channel, whose taps lie where offsets say. Displacements are counted in units of
2**-FRACTION_BITS pixels from the pixel of the input that is the kernel's centre.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from .checks import require

FRACTION_BITS = 4  # of a displacement
ONE = 1 << FRACTION_BITS
SAMPLE_BITS = 2 * FRACTION_BITS  # of a sample between pixels, behind the point
MOST_BANKS = 32  # of a line buffer without conflicts; with more they are arbitrated instead


class Form(enum.IntEnum):
    """Where the taps of a kernel lie. Tap (i, j) of a kernel of k x k lies at i - k // 2, j - k // 2 times ``dilation`` pixels:"""

    REGULAR = 0
    SQUARE = 1  # ... plus the pixel's one offset: its own dilation
    FREE = 2  # and by offsets of its own, along y and x, from there


@dataclass(frozen=True, kw_only=True)
class DeformCircuit:
    """kernel: taps along y and along x, 3 or 5.
    reach: pixels between a kernel's centre and the farthest of its points, along y or x.
    width: of a feature map's line, in pixels, at most.
    free: whether taps may have offsets of their own.
    bilinear: whether displacements have a fraction.
    masked: whether taps may have factors of their own.

    Raises ParameterError.
    """

    kernel: int = 3
    reach: int = 7
    width: int = 64
    free: bool = False
    bilinear: bool = False
    masked: bool = False

    def __post_init__(self) -> None:
        require(self.kernel in (3, 5), "deform_kernel", "3 or 5", self.kernel)
        require(self.kernel // 2 <= self.reach <= 15, "deform_reach", f"in {self.kernel // 2}..15", self.reach)
        require(4 <= self.width <= 1024, "deform_width", "in 4..1024", self.width)

    @property
    def taps(self) -> int:
        return self.kernel**2

    @property
    def rows(self) -> int:
        """Of the line buffer: those that a kernel can reach, and one that is written meanwhile. With one less, and rows that are written
        reach + 1 ahead, the last one that is needed is lost (tests/test_golden_deform.py)."""
        return 2 * self.reach + 2

    @property
    def copies(self) -> int:
        """Of the line buffer, each of one point of a tap in a cycle."""
        return 2 if self.bilinear else 1

    @property
    def fractional(self) -> bool:
        """Whether samples have SAMPLE_BITS behind the point."""
        return self.bilinear or self.masked

    @property
    def banks(self) -> int:
        """Of a copy. Pixel x of row y lies in bank ``(row_step * y + x) % banks``."""
        return _layout(self.kernel, self.reach, self.bilinear)[0]

    @property
    def row_step(self) -> int:
        return _layout(self.kernel, self.reach, self.bilinear)[1]

    @property
    def arbitrates(self) -> bool:
        """Whether points of a pixel may lie in one bank, which then takes a cycle for each of them."""
        return self.free or not _layout(self.kernel, self.reach, self.bilinear)[2]

    @property
    def bank_columns(self) -> int:
        """Words of a row in a bank."""
        return -(-self.width // self.banks)


def near_and_far(displacement: int) -> tuple[int, int]:
    """The pixels on both sides of a displacement: the one nearer to the centre, and the other, or twice the same."""
    near = abs(displacement) >> FRACTION_BITS
    far = near + (displacement % ONE != 0)
    return (near, far) if displacement >= 0 else (-near, -far)


def points_at_once(rows: list[tuple[int, int]], columns: list[tuple[int, int]]) -> Iterator[frozenset[tuple[int, int]]]:
    """The points that the taps of a square read in one cycle from one copy, of taps at these (near, far) rows and columns: both near, or
    both far; and in the second cycle, of taps that lie between pixels along both, near and far, or far and near."""
    yield frozenset((y, x) for y, _ in rows for x, _ in columns)
    yield frozenset((y, x) for _, y in rows for _, x in columns)
    between = [[pair for pair in pairs if pair[0] != pair[1]] for pairs in (rows, columns)]
    yield frozenset((near, far) for near, _ in between[0] for _, far in between[1])
    yield frozenset((far, near) for _, far in between[0] for near, _ in between[1])


@cache
def _layout(kernel: int, reach: int, bilinear: bool) -> tuple[int, int, bool]:
    """(banks, row_step, whether squares never meet a bank twice): as few banks as do for this, or for squares between no pixels."""
    centre = kernel // 2

    def fewest(between: bool) -> tuple[int, int]:
        together = set[frozenset[tuple[int, int]]]()
        for dilation in range(0, reach * ONE // centre + 1, 1 if between else ONE):
            pixels = [near_and_far((i - centre) * dilation) for i in range(kernel)]
            together.update(points_at_once(pixels, pixels))
        sizes = ((banks, step) for banks in range(kernel**2, 256) for step in range(1, banks))
        return next((b, step) for b, step in sizes if all(len({(step * y + x) % b for y, x in some}) == len(some) for some in together))

    banks, step = fewest(bilinear)
    return (banks, step, True) if banks <= MOST_BANKS else (*fewest(between=False), False)
