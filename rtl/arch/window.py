"""The windows of a convolution over a feature map, which is a matrix of pixels, line by line, by channels."""

from collections.abc import Mapping
from dataclasses import dataclass

from .checks import require
from .parameters import DEPTHWISE_TAPS
from .steps import ADDRESS_BITS, place_bits


@dataclass(frozen=True, kw_only=True)
class Window:
    """height, width: of the feature map. kernel, strides, dilations: along y, then x. pads: pixels above, left, below and right of the map.
    groups: of channels; an output channel sees only its own group's.

    Raises ParameterError where a number is out of its range, or no window fits.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1

    def __post_init__(self) -> None:
        for name in ("kernel", "strides", "dilations"):
            require(all(1 <= n <= 255 for n in getattr(self, name)), name, "in 1..255", getattr(self, name))
        require(all(0 <= n <= 255 for n in self.pads), "pads", "in 0..255", self.pads)
        for name in ("height", "width"):
            require(1 <= getattr(self, name) < 1 << 16, name, "in 1..65535", getattr(self, name))
        require(self.groups >= 1, "groups", "at least 1", self.groups)
        require(self.lines >= 1 and self.columns >= 1, "kernel", "no larger than the padded feature map", self.kernel)

    @property
    def lines(self) -> int:
        """Windows along y."""
        return self._along(0, self.height)

    @property
    def columns(self) -> int:
        """Windows along x."""
        return self._along(1, self.width)

    def _along(self, axis: int, size: int) -> int:
        reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1
        return (size + self.pads[axis] + self.pads[axis + 2] - reach) // self.strides[axis] + 1

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def lines_read(self, first: int, count: int) -> range:
        """The lines of the map that windows of lines ``first`` to ``first + count - 1`` touch."""
        top = first * self.strides[0] - self.pads[0]
        bottom = (first + count - 1) * self.strides[0] - self.pads[0] + (self.kernel[0] - 1) * self.dilations[0]
        return range(min(max(top, 0), self.height - 1), max(min(bottom, self.height - 1), 0) + 1)

    def walk(
        self, address: int, line_words: int, pixel: int, *, line: int = 0, column: int = 0, top: int = 0, height: int | None = None
    ) -> dict[str, int]:
        """The fields of a compute command for the windows from (``line``, ``column``) on, but for how many they are, tap by tap.

        address: of the scratchpad word of the first pixel of line ``top``, of which and of the following ``height`` lines are there.
        line_words: from a line to the next one. pixel: places from a pixel to the next one in its line.
        """
        y, x = line * self.strides[0] - self.pads[0] - top, column * self.strides[1] - self.pads[1]
        return {
            "a": (address + y * line_words) % (1 << ADDRESS_BITS),
            **{"a_line": self.strides[0] * line_words, "a_tap_y": self.dilations[0] * line_words},
            **{"height": self.height if height is None else height, "width": self.width * pixel},
            **{"taps_y": self.kernel[0], "y_start": y, "y_step": self.strides[0], "y_tap": self.dilations[0]},
            **{"taps_x": self.kernel[1], "x_start": x * pixel, "x_step": self.strides[1] * pixel, "x_tap": self.dilations[1] * pixel},
        }

    @property
    def contiguous(self) -> bool:
        """Whether the pixels of a window's line follow each other."""
        return self.kernel[1] == 1 or self.dilations[1] == 1

    @property
    def run(self) -> Mapping[str, int]:
        """What changes in `walk` when each line of a contiguous window is one tap."""
        return {"taps_x": 1, "x_tap": 0}

    @property
    def depthwise_taps(self) -> int:
        """Pixels of a depthwise tap, at most: a line of a contiguous window is divided into equal taps, the last one beyond its end."""
        return -(-self.kernel[1] // -(-self.kernel[1] // DEPTHWISE_TAPS)) if self.contiguous else 1

    def depthwise(self, pixel: int, k: int) -> Mapping[str, int]:
        """What changes in `walk` when a window is taken channel by channel, in taps of k pixels, 1 to `depthwise_taps`."""
        if k == 1:
            return {"depthwise": 1, "k": 1}
        taps = {"taps_x": -(-self.kernel[1] // k), "x_tap": k * pixel, "k": k}
        return {**taps, "depthwise": 1, "x_step": pixel, "skip_first": k - 1, "skip": self.strides[1] - 1}


def matrix_walk(address: int, stride: int, rows: int, k: int, word_bytes: int, *, taps: int = 1, again: bool = False) -> dict[str, int]:
    """The fields of a compute command for a matrix of ``rows`` rows of ``taps`` times k bytes, each ``stride`` words behind the one before;
    or of k bytes, which each tap takes ``again``.

    Several taps must fill words where ``word_bytes`` is no power of two.
    """
    bits, moves = place_bits(word_bytes), taps > 1 and not again
    octets = taps * k if moves else k
    fields = {"a": address, "a_line": stride, "m": 1, "lines": rows, "k": k, "height": 1, "width": -(-octets // word_bytes) << bits}
    return {**fields, "taps_x": taps, "taps_y": 1, "x_tap": (k // word_bytes << bits) + k % word_bytes if moves else 0}
