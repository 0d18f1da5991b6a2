"""Scenes of handwritten digits: 128 x 128 pixels, each digit with its class and box.

The digits are those of ../digits: scenes for training and calibration are made of its `train` images alone, test scenes of its `test`
images. Between them lie distractors: digits whose quarters are shuffled, and strokes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from ..digits.data import load_split

SIZE = 128  # pixels of a side
STRIDE = 4  # of them to one of the network's maps
CLASSES = 10
SMALLEST, LARGEST = 16, 56  # a digit's 8 x 8 pixels on a scene, in pixels
MOST_DIGITS = 6
TURN = np.radians(25)  # at the most
INK = 0.3  # of the strongest of a digit: what its box holds
OVERLAP = 0.15  # of two boxes, at the most: intersection over union
SEEDS = {"train": 1, "calibration": 2, "test": 3}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """image: float32 [1, SIZE, SIZE] in 0..1. classes: [n]. boxes: [n, 4], left, top, right and bottom edge in pixels."""

    image: NDArray[np.float32]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]


def iou(a: NDArray, b: NDArray) -> NDArray:
    """Intersection over union of boxes [n, 4] and [m, 4]: [n, m]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (a, b)]
    return inside / np.maximum(areas[0][:, None] + areas[1] - inside, 1e-9)


def scenes(part: str, count: int) -> list[Scene]:
    """The first ones of ``train``, ``calibration`` or ``test``: the same ones each time."""
    images, labels = load_split("test" if part == "test" else "train")
    random = np.random.default_rng(SEEDS[part])
    return [_scene(images[:, 0], labels, random) for _ in range(count)]


def _drawn(glyph: NDArray, random: np.random.Generator) -> tuple[NDArray, NDArray]:
    """An image [8, 8] scaled and turned somewhere on an empty scene, and the box of its ink."""
    size = np.exp(random.uniform(np.log(SMALLEST), np.log(LARGEST)))
    angle, (y, x) = random.uniform(-TURN, TURN), random.uniform(size / 2, SIZE - size / 2, 2)
    rows, cols = np.mgrid[:SIZE, :SIZE] + 0.5
    cos, sin = 8 / size * np.cos(angle), 8 / size * np.sin(angle)
    place = (rows - y) * cos - (cols - x) * sin + 3.5, (rows - y) * sin + (cols - x) * cos + 3.5
    ink = map_coordinates(np.pad(glyph, 1), [p + 1 for p in place], order=1)
    ys, xs = np.nonzero(ink > INK * ink.max())
    return ink, np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)


def _stroke(random: np.random.Generator) -> NDArray:
    """A line on an empty scene."""
    (y0, x0, y1, x1), width = random.uniform(0, SIZE, 4), random.uniform(1, 4)
    along = np.linspace(0, 1, 2 * SIZE)
    points = np.rint([y0 + (y1 - y0) * along, x0 + (x1 - x0) * along]).astype(int).clip(0, SIZE - 1)
    ink = np.zeros((SIZE, SIZE))
    ink[points[0], points[1]] = 1
    ink = gaussian_filter(ink, width / 2)
    return ink / ink.max()


def _shuffled(glyph: NDArray, random: np.random.Generator) -> NDArray:
    """With its quarters in other places."""
    quarters = glyph.reshape(2, 4, 2, 4).swapaxes(1, 2).reshape(4, 4, 4)
    moved = quarters[np.roll(np.arange(4), random.integers(1, 4))]
    return moved.reshape(2, 2, 4, 4).swapaxes(1, 2).reshape(8, 8)


def _scene(glyphs: NDArray, labels: NDArray[np.int64], random: np.random.Generator) -> Scene:
    canvas = np.zeros((SIZE, SIZE))
    taken, boxes, classes = np.zeros((0, 4), np.float32), [], []
    digits = random.integers(1, MOST_DIGITS + 1)
    distractors = random.integers(1, 4)
    for number in range(digits + distractors):
        index = random.integers(len(glyphs))
        glyph = glyphs[index] if number < digits else _shuffled(glyphs[index], random)
        ink, box = _drawn(glyph, random)
        if iou(box[None], taken).max(initial=0) > OVERLAP:
            continue
        canvas = np.maximum(canvas, ink * random.uniform(0.5, 1))
        taken = np.concatenate([taken, box[None]])
        if number < digits:
            boxes.append(box)
            classes.append(labels[index])
    for _ in range(random.integers(0, 3)):
        canvas = np.maximum(canvas, _stroke(random) * random.uniform(0.3, 0.7))
    light = gaussian_filter(random.normal(size=(SIZE, SIZE)), 16)
    noise = 0.15 * light / np.abs(light).max() + random.normal(scale=random.uniform(0.02, 0.1), size=(SIZE, SIZE))
    image = np.clip(0.15 + 0.85 * canvas + noise, 0, 1).astype(np.float32)
    return Scene(image=image[None], classes=np.array(classes, np.int64), boxes=np.array(boxes, np.float32).reshape(-1, 4))
