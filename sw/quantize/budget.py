"""Which layers have weights of 8 bits and which of 4, so that all fit a size: those of 8 whose errors matter most for their bytes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import onnx
from numpy.typing import NDArray
from onnx import helper

from .error import Error, errors
from .observe import observed


def harms_of(
    source: Path,
    proto: onnx.ModelProto,
    changed: Mapping[str, NDArray],
    samples: Sequence[Mapping[str, NDArray]],
    wanted: Sequence[Mapping[str, NDArray]],
) -> Iterator[tuple[str, float]]:
    """By the name of weights, what it costs that they alone are those in ``changed``: noise to signal of the outputs, added up; of integers
    the share that differs.

    wanted: each sample's outputs of the float network ``proto``.
    """
    open_to = onnx.ModelProto()
    open_to.CopyFrom(proto)
    for name, array in changed.items():  # initializers that are inputs too can be other ones in each run
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        open_to.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    runs = ({**sample, name: array} for name, array in changed.items() for sample in samples)
    found = observed(source, open_to, list(wanted[0]), runs)
    for name in changed:
        pairs = zip(wanted, islice(found, len(samples)), strict=True)
        yield name, sum(map(_relative, errors(pairs).values()))


def _relative(error: Error) -> float:
    if error.integers:
        return 1 - error.alike / error.elements
    return error.noise / error.signal if error.signal else 0.0


def within(sizes: Mapping[str, tuple[int, int]], harms: Mapping[str, float], most: float) -> set[str]:
    """Names of the layers that have 8 bits. sizes: bytes with 4 and with 8 bits. harms: of 4 bits. most: bytes of all.

    Greedy: one layer after the other that there is room for, first the one whose 4 bits cost most for the bytes that 8 take more.
    """
    more = {name: large - small for name, (small, large) in sizes.items()}
    left = most - sum(small for small, _ in sizes.values())
    chosen = set[str]()
    for name in sorted(sizes, key=lambda name: -harms[name] / more[name]):
        if more[name] <= left:
            chosen.add(name)
            left -= more[name]
    return chosen
