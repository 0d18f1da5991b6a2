"""The k best of a stream: parameters of the circuit."""

from dataclasses import dataclass

from .blocks import LaneCircuit, require_scores
from .checks import require
from .formats import INT16, Format


@dataclass(frozen=True, kw_only=True)
class KBestCircuit(LaneCircuit):
    """source: format of the scores, of 8 to 32 bits.
    k: elements that are kept, 1..64.
    index_bits: of an element's place in its packet, counted modulo 2 ** index_bits: 8, 16 or 32.
    """

    source: Format = INT16
    k: int = 4
    index_bits: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        require_scores(self, self.source)
        require(type(self.k) is int and 1 <= self.k <= 64, "k", "an integer in 1..64", self.k)
        require(self.index_bits in (8, 16, 32), "index_bits", "8, 16 or 32", self.index_bits)
