"""The demo's images and their split into training, calibration and test."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

SPLIT = Path(__file__).parent / "split.npz"
SEED = 20
TEST_IMAGES = 400
CALIBRATION_IMAGES = 256


def load() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All images as float32 [1797, 1, 8, 8] with pixels in 0..1, and their labels as int64 [1797]."""
    pixels, labels = load_digits(return_X_y=True)
    images = (np.asarray(pixels) / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return images, np.asarray(labels, np.int64)


def make_split(count: int) -> dict[str, NDArray[np.int64]]:
    """Disjoint index arrays ``train`` and ``test``, and ``calibration``, a part of ``train``."""
    order = np.random.default_rng(SEED).permutation(count)
    train = order[TEST_IMAGES:]
    return {
        "train": np.sort(train),
        "calibration": np.sort(train[:CALIBRATION_IMAGES]),
        "test": np.sort(order[:TEST_IMAGES]),
    }


def load_split(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The images and labels of one part of split.npz: ``train``, ``calibration`` or ``test``."""
    images, labels = load()
    with np.load(SPLIT) as split:
        indices = split[name]
    return images[indices], labels[indices]
