"""What became of a quantized network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import Self

from .error import Error
from .layers import Layer
from .offsets import OffsetSteps
from .weights import Weights, weight_bytes


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """Of a layer with weights [k, n]. groups: along k. size: of the weights, in bytes. error: of its results, where all is quantized before
    it, against those of the float network."""

    name: str
    k: int
    n: int
    bits: int
    groups: int
    size: int
    error: Error

    @classmethod
    def of(cls, layer: Layer, weights: Weights | None, error: Error) -> Self:
        """weights: of 4 bits; None: 8."""
        k, n = layer.matrix.shape
        bits, groups = (4, len(weights.scale)) if weights else (8, 1)
        return cls(name=layer.name, k=k, n=n, bits=bits, groups=groups, size=weight_bytes(layer, bits, groups), error=error)


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """offsets: of each DeformConv. errors: of the outputs over all samples, against the float network. layers: those with weights, in their
    order."""

    samples: int
    offsets: Sequence[OffsetSteps]
    errors: Mapping[str, Error]
    layers: Sequence[LayerReport]
