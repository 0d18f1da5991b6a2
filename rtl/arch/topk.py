"""The top-k engine: parameters of the circuit, and the run-time record."""

import enum
from dataclasses import dataclass

from .blocks import RowCircuit, require_scores
from .checks import require
from .formats import INT16, Format
from .record import Field, Record

DIGIT_BITS = 4  # of a score, looked at in one pass
INDEX_BITS = 16
COUNT_BITS = INDEX_BITS + 1  # of elements of a row

TOPK = Record("topk", (Field("k", COUNT_BITS),))


class Result(enum.Enum):
    """What comes out of a row of scores."""

    INDICES = "indices"  # of the k largest, rising
    PAIRS = "pairs"  # the same, each with its score
    MASK = "mask"  # for each score whether it is one of them; and the k-th largest


@dataclass(frozen=True, kw_only=True)
class TopKCircuit(RowCircuit):
    """source: format of the scores, of 8 to 32 bits.
    result: what comes out: indices, pairs (index and score) or mask.
    """

    source: Format = INT16
    result: Result = Result.INDICES

    def __post_init__(self) -> None:
        super().__post_init__()
        require_scores(self, self.source)
        require(self.row_elements >= 2 * self.lanes, "row_elements", f"at least two beats of {self.lanes}", self.row_elements)

    @property
    def record(self) -> Record:
        return TOPK
