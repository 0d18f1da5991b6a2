"""What `celosia quantize` is asked for."""

from dataclasses import dataclass

from ..frontend.product import LEAST_GROUP
from .ranges import Ranges


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """ranges: of int8 tensors. smooth: the share of the activations in the factors that rescale channels, 0..1; None: nothing is rescaled.
    weight_bits: 8 or 4. weight_group: so many rows of a matrix have scales of their own, where its weights have 4 bits; 0: all together.
    weight_kib: what all weights together may have, some of 8 bits, some of 4; None: all have weight_bits."""

    ranges: Ranges = Ranges.MINMAX
    smooth: float | None = None
    weight_bits: int = 8
    weight_group: int = 0
    weight_kib: float | None = None

    def __post_init__(self) -> None:
        if self.weight_group and self.weight_group < LEAST_GROUP:
            raise ValueError(f"groups of weights must be of {LEAST_GROUP} or more, not {self.weight_group}")
        if self.weight_group and self.weight_bits == 8 and self.weight_kib is None:
            raise ValueError("weights have groups where they have 4 bits: give 4 bits or a size as well")
        if self.weight_kib is not None and self.weight_bits != 8:
            raise ValueError("a size chooses between 8 and 4 bits: give no bits as well")

    @property
    def has_four_bits(self) -> bool:
        return self.weight_bits == 4 or self.weight_kib is not None
