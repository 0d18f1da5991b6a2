"""Which layers have weights of 8 bits and which of 4, so that all fit a size: those of 8 whose errors matter most for their bytes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import onnx
from numpy.typing import NDArray
from onnx import helper

from .error import Error, errors
from .observe import observed
from .weights import KIB


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

    Greedy: layer by layer, the one whose error costs most for the bytes that it takes first. Raises ValueError where 4 bits are too many.
    """
    left = most - sum(small for small, _ in sizes.values())
    if left < 0:
        least = (most - left) / KIB
        raise ValueError(f"weights of 4 bits are {least:,.1f} KiB, more than {most / KIB:,.1f}")
    chosen = set[str]()
    for name in sorted(sizes, key=lambda name: -harms[name] / (sizes[name][1] - sizes[name][0])):
        more = sizes[name][1] - sizes[name][0]
        if more <= left:
            chosen.add(name)
            left -= more
    return chosen
