"""Ranges of int8 tensors that are narrower than what the samples had, since few numbers lie far out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..text_enum import TextEnum

Arrays = Mapping[str, NDArray]
BINS = 2048
LEFT_OUT = 1e-4  # the share of a tensor's numbers beyond its percentiles, half of it at each end
SHRUNK = np.geomspace(0.05, 1, 32)  # ends of ranges that are tried, of the lowest or the highest number
STEPS = 255  # from the lowest to the highest int8


class Ranges(TextEnum):
    """minmax: of all that was seen. percentile: but for LEFT_OUT. mse: of the least squared error."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    MSE = "mse"


@dataclass(frozen=True, kw_only=True, eq=False)
class Histogram:
    """Of a tensor: how many numbers lie in each of BINS equal parts from ``low``, which is at most 0, to ``high``, which is at least 0."""

    low: float
    high: float
    counts: NDArray[np.int64]

    @property
    def centres(self) -> NDArray[np.float64]:
        return self.low + (np.arange(BINS) + 0.5) * (self.high - self.low) / BINS


def histograms(runs: Callable[[], Iterator[Arrays]]) -> dict[str, Histogram]:
    """Of each tensor. runs: all samples once more."""
    ends: dict[str, tuple[float, float]] = {}
    for arrays in runs():
        for name, array in arrays.items():
            low, high = ends.get(name, (0.0, 0.0))
            ends[name] = min(low, float(array.min())), max(high, float(array.max()))
    counts = {name: np.zeros(BINS, np.int64) for name in ends}
    for arrays in runs():
        for name, array in arrays.items():
            counts[name] += np.histogram(array, BINS, ends[name])[0]
    return {name: Histogram(low=low, high=high, counts=counts[name]) for name, (low, high) in ends.items()}


def range_of(histogram: Histogram, ranges: Ranges) -> tuple[float, float]:
    """From at most 0 to at least 0."""
    if ranges is Ranges.PERCENTILE:
        return _percentiles(histogram)
    return _of_least_error(histogram) if ranges is Ranges.MSE else (histogram.low, histogram.high)


def _percentiles(histogram: Histogram) -> tuple[float, float]:
    below = np.cumsum(histogram.counts) / histogram.counts.sum()
    inside = (below > LEFT_OUT / 2) & (below - histogram.counts / histogram.counts.sum() < 1 - LEFT_OUT / 2)
    kept = histogram.centres[inside]
    half = (histogram.high - histogram.low) / BINS / 2
    return min(0.0, float(kept[0] - half)), max(0.0, float(kept[-1] + half))


def _of_least_error(histogram: Histogram) -> tuple[float, float]:
    def error(ends: tuple[float, float]) -> float:
        low, high = ends
        step = (high - low) / STEPS
        zero = np.rint(-low / step)
        rounded = (np.clip(np.rint(histogram.centres / step), -zero, STEPS - zero)) * step
        return float(histogram.counts @ np.square(rounded - histogram.centres))

    if histogram.low == histogram.high:
        return histogram.low, histogram.high
    lows, highs = (np.unique(SHRUNK * end) for end in (histogram.low, histogram.high))
    return min(((float(low), float(high)) for low, high in product(lows, highs)), key=error)
