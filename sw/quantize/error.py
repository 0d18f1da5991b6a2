"""How far the outputs of a network are from those that they should be."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class Error:
    """Of one output over all samples. signal, noise: sums of squares, of the reference and of the difference. largest: difference.
    alike: so many of the elements are equal. integers: whether the output is of integers, as ArgMax gives."""

    signal: float
    noise: float
    largest: float
    alike: int
    elements: int
    integers: bool

    def __add__(self, other: Self) -> Self:
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("signal", "noise", "alike", "elements")}
        return replace(self, **sums, largest=max(self.largest, other.largest))

    @property
    def decibels(self) -> float:
        """Of signal to noise; infinite where nothing differs."""
        if not self.noise:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


def errors(pairs: Iterable[tuple[Mapping[str, NDArray], Mapping[str, NDArray]]]) -> dict[str, Error]:
    """By name of the output. pairs: of each sample the outputs that should be, and those that are."""
    found = dict[str, Error]()
    for wanted, got in pairs:
        for name, array in wanted.items():
            one = _of(array, got[name])
            found[name] = one + found[name] if name in found else one
    return found


def _of(wanted: NDArray, got: NDArray) -> Error:
    reference, difference = wanted.astype(np.float64), np.abs(got.astype(np.float64) - wanted)
    return Error(
        signal=float(np.square(reference).sum()),
        noise=float(np.square(difference).sum()),
        largest=float(difference.max()),
        alike=int((difference == 0).sum()),
        elements=difference.size,
        integers=wanted.dtype.kind in "iub",
    )
