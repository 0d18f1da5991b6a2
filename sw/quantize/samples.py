"""Arrays of a network's inputs in an .npz file: one sample after the other along the first axis."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Input(Protocol):
    """An input of a network, float or integer."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...


class Track(Protocol):
    """Shows how far a loop is, which the text names."""

    def __call__(self, items: Iterable[T], text: str, total: int) -> Iterable[T]: ...


@dataclass(frozen=True)
class Samples:
    """arrays: by the input's name, [count, *shape of the input]."""

    arrays: Mapping[str, NDArray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __iter__(self) -> Iterator[dict[str, NDArray]]:
        for place in range(len(self)):
            yield {name: array[place] for name, array in self.arrays.items()}


def read_samples(path: Path, inputs: Sequence[Input]) -> Samples:
    """Of an .npz file with an array for each input: [count, *shape], of an input's shape without its first axis where that is 1.

    Raises
    ------
    ValueError
        If the file can't be read without pickle, or does not hold arrays of just these inputs' shapes and kinds, each of as many samples,
        with finite numbers that are not all the same. The message names file and input.
    """
    found = _arrays(path)
    names = [one.name for one in inputs]
    unknown = [name for name in found if name not in names]
    if unknown:
        raise ValueError(f"{path}: {unknown[0]} is no input of the network, which are {', '.join(names)}")
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{path}: the input {missing[0]} is missing")
    arrays = {}
    for one in inputs:
        try:
            arrays[one.name] = _checked(one, found[one.name])
        except ValueError as e:
            raise ValueError(f"{path}: {one.name} {e}") from None
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"{path}: all inputs must have as many samples, not {', '.join(f'{n} {c}' for n, c in counts.items())}")
    return Samples(arrays)


def _arrays(path: Path) -> dict[str, NDArray]:
    name = None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {}
            for name in archive.files:
                arrays[name] = archive[name]
            return arrays
    except OSError as e:
        if e.errno is not None:  # else NumPy's own, on a damaged file
            raise
    except Exception:  # NumPy does not say what it raises on a damaged file: it depends on the damage
        pass
    if name is not None:
        raise ValueError(f"{path}: {name} is not an array of numbers")
    raise ValueError(f"{path}: not an .npz archive of arrays, as numpy.savez writes it")


def _checked(one: Input, array: NDArray) -> NDArray:
    """[count, *shape], of the input's type. Raises ValueError with what follows the input's name."""
    shape = one.shape[1:] if one.shape[:1] == (1,) else one.shape
    wanted = f"[{', '.join(map(str, ('samples', *shape)))}]"
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape or not len(array):
        raise ValueError(f"must have the shape {wanted}, not {list(array.shape)}")
    allowed = "f" if one.dtype.kind == "f" else "iu" if one.dtype.kind in "iu" else "b"
    if array.dtype.kind not in allowed:
        raise ValueError(f"must be {one.dtype}, not {array.dtype}")
    with np.errstate(over="ignore"):  # refused below
        typed = array.astype(one.dtype).reshape(-1, *one.shape)
    if one.dtype.kind != "f":
        if (typed.reshape(array.shape) != array).any():
            raise ValueError(f"has numbers that {one.dtype} does not hold")
        return typed
    if not np.isfinite(typed).all():
        raise ValueError("must hold finite numbers, not NaN or infinity")
    if typed.min() == typed.max():
        raise ValueError(f"is {typed.flat[0]:g} everywhere: constant data shows no range")
    return typed
