"""The offsets of DeformConv: which tensor is quantized for them, and in which steps, so that the engine's offsets are the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...rtl.arch.deform import FRACTION_BITS
from ...rtl.arch.formats import INT8
from ..frontend.deform import square_factor
from ..frontend.onnx_file import Node, OnnxModel

BETWEEN = "Clip", "Round"  # what the engine, or a step of 1, does to offsets that are quantized before it


@dataclass(frozen=True, kw_only=True)
class OffsetPath:
    """From where offsets are quantized to the DeformConv ``node``, by names of tensors.

    source: what is quantized. used: the last tensor whose numbers, times ``factor``, are offsets: what DeformConv reads, or of a square the
    map of one channel before it is multiplied with the places of the taps. limits: of the Clips between them. rounds: the results of the
    Rounds between them. inner: all results behind the source.
    """

    node: str
    source: str
    used: str
    factor: float = 1.0
    limits: tuple[float, ...] = ()
    rounds: tuple[str, ...] = ()
    inner: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class OffsetSteps:
    """How the offsets of a path are quantized, in pixels: as multiples of ``step``. lowest, highest: of those that were seen.

    again: the tensor that is quantized in the same steps once more, since a Clip's limits are no multiples of them.
    """

    path: OffsetPath
    step: float
    lowest: float
    highest: float
    again: str | None = None

    @property
    def clamped(self) -> bool:
        """Whether int8 does not hold all that was seen."""
        return not _holds(self.step, self.lowest, self.highest)


def offset_path(node: Node, model: OnnxModel, producers: Mapping[str, Node]) -> OffsetPath:
    """Of a DeformConv. producers: by the names of their results."""
    used, factor = _square(node.inputs[2], model, producers) or (node.inputs[2], 1.0)
    name, limits, rounds, inner = used, list[float](), list[str](), {node.inputs[2]} - {used}
    while (before := producers.get(name)) is not None and before.op_type in BETWEEN:
        inner.add(name)
        if before.op_type == "Round":
            rounds.append(name)
        limits += [float(model.constants[limit].item()) for limit in before.inputs[1:] if limit in model.constants]
        name = before.inputs[0]
    return OffsetPath(
        node=node.name,
        source=name,
        used=used,
        factor=factor,
        limits=tuple(limits),
        rounds=tuple(rounds),
        inner=frozenset(inner),
    )


def _square(name: str, model: OnnxModel, producers: Mapping[str, Node]) -> tuple[str, float] | None:
    """The map of one channel that is multiplied with the places of the taps to make the offsets ``name``, and the places' factor."""
    mul = producers.get(name)
    if mul is None or mul.op_type != "Mul":
        return None
    slot = 0 if mul.inputs[0] in model.constants else 1
    places = model.constants.get(mul.inputs[slot])
    if places is None or places.size == 1:
        return None
    try:
        return mul.inputs[1 - slot], float(square_factor(places.reshape(-1).astype(np.float64), int(np.sqrt(places.size / 2))))
    except ValueError:
        return None


def steps_for(ranges: Sequence[tuple[OffsetPath, float, float]]) -> list[OffsetSteps]:
    """The finest steps of which int8 holds all offsets that were seen; whole pixels where the network rounds. Paths from one tensor have
    those of the coarsest.

    ranges: each path with the lowest and the highest number of its tensor ``used``.
    """
    seen = [(path, low * path.factor, high * path.factor) for path, low, high in ranges]
    scales: dict[str, float] = {}
    for path, low, high in seen:
        finest = 0 if path.rounds else FRACTION_BITS
        step = next((2.0**-bits for bits in range(finest, 0, -1) if _holds(2.0**-bits, low, high)), 1.0)
        scales[path.source] = max(step / path.factor, scales.get(path.source, 0.0))
    return [_steps(path, scales[path.source] * path.factor, low, high) for path, low, high in seen]


def _steps(path: OffsetPath, step: float, lowest: float, highest: float) -> OffsetSteps:
    inexact = any(np.isfinite(limit) and (limit * path.factor) % step for limit in path.limits)
    return OffsetSteps(path=path, step=step, lowest=lowest, highest=highest, again=path.used if inexact else None)


def _holds(step: float, lowest: float, highest: float) -> bool:
    return bool(INT8.min <= np.rint(lowest / step) and np.rint(highest / step) <= INT8.max)
