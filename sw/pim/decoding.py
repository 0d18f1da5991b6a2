"""How long a GPT takes for a token: products with weights, keys and values in DRAM that computes, all else on the accelerator beside it.

The DRAM's part is the controller's own account, command by command (phases.py). The accelerator's blocks take `lanes` elements a cycle,
with the latencies of the machine's vector engine (sw/compiler/predict.py). A column a DRAM cycle goes between both, each way.

What overlaps: results are requantized, and partial sums and residuals added, as they come, so of that the last results' latency is left;
of queries and keys it passes while the values' products are made. The softmax of some heads works while others' scores are made, values
are appended, and values are weighted with the probabilities that are there. A product in chunks begins with its first chunk when that is
there. The argmax follows the logits as they come. Nothing else overlaps: LayerNorms and latencies stand between two products.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ...rtl.arch.dram import Command, Dram
from ...rtl.arch.steps import VectorOperation
from ..compiler.predict import ELEMENTWISE_LATENCY, VECTOR_LATENCY
from . import phases
from .cache import CacheMap, best_cache
from .mapping import MatrixMap, check_rows, outputs
from .models import Model
from .phases import Phase

DRAM_MHZ = 1000  # of the command clock: the presets' cycles are taken as a nanosecond each


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """Beside the DRAM: its clock, and the elements that each of its blocks takes in a cycle. Times are in cycles of the DRAM."""

    mhz: int = 1000
    lanes: int = 32

    def cycles(self, own: float) -> float:
        return own * DRAM_MHZ / self.mhz

    def elementwise(self, elements: int) -> float:
        """From the first element to the last result."""
        return self.cycles(ELEMENTWISE_LATENCY + -(-elements // self.lanes))

    def rowwise(self, operation: VectorOperation, rows: int, elements: int) -> float:
        """A row goes in while the one before goes out."""
        return self.cycles(VECTOR_LATENCY[operation] + (rows + 1) * -(-elements // self.lanes))


@dataclass(frozen=True, kw_only=True)
class Token:
    """cycles: by part, without refreshes. counts: of all channels' commands. columns: of data, written to and read from the controller."""

    cycles: Mapping[str, float]
    counts: Mapping[Command, int]
    columns: int


@dataclass(frozen=True, kw_only=True)
class DecodingModel:
    """A model in a device, with a cache for `tokens` tokens. split: see mapping.py. Raises MappingError where it doesn't fit."""

    model: Model
    dram: Dram
    accelerator: Accelerator = Accelerator()
    tokens: int = 1024
    split: bool = True

    def __post_init__(self) -> None:
        of_layers = self.model.layers * (sum(matrix.rows for matrix in self.matrices.values()) + self.cache.rows)
        positions = self._matrix(self.tokens, self.model.width)
        check_rows(self.dram, self.model.name, 0, of_layers + self.logits.rows + positions.rows)

    @cached_property
    def matrices(self) -> Mapping[str, MatrixMap]:
        """Of a layer."""
        w, h = self.model.width, self.model.hidden
        shapes = {"queries, keys, values": (3 * w, w), "projection": (w, w), "MLP, first": (h, w), "MLP, second": (w, h)}
        return {name: self._matrix(*shape) for name, shape in shapes.items()}

    @cached_property
    def logits(self) -> MatrixMap:
        return self._matrix(self.model.vocabulary, self.model.width)

    @cached_property
    def cache(self) -> CacheMap:
        return best_cache(self.dram, self.model.heads, self.model.head_width, self.tokens)

    def token(self, position: int) -> Token:
        """The token at a position, from 0 on, to the choice of the next. Raises MappingError where the cache is full."""
        layers = self.model.layers
        cycles, counts, columns = defaultdict[str, float](float), Counter[Command](), 0
        for part, own in self._layer(position).items():
            cycles[part] += layers * own
        for part, own in self._ends().items():
            cycles[part] += own
        for times, of in self._phases(position):
            counts.update({command: times * self.dram.channels * count for command, count in of.counts.items()})
            columns += times * (of.written + of.read)
        return Token(cycles=cycles, counts=counts, columns=columns)

    def _matrix(self, m: int, k: int) -> MatrixMap:
        return MatrixMap(dram=self.dram, m=m, k=k, split=self.split)

    def _phases(self, position: int) -> Iterator[tuple[int, Phase]]:
        """How often."""
        for matrix in self.matrices.values():
            yield self.model.layers, phases.product(matrix)
        yield self.model.layers, phases.scores(self.cache, position)
        yield self.model.layers, phases.value_append(self.cache, position)
        yield self.model.layers, phases.weighted(self.cache, position + 1)
        yield 1, phases.product(self.logits)
        yield 2, self._row

    @property
    def _row(self) -> Phase:
        """Of the embedding or the positions: rows of matrices as they lie for products."""
        return phases.row_read(self.dram, -(-self.model.width // self.dram.column_bytes))

    def _product(self, matrix: MatrixMap) -> float:
        """While the accelerator takes the results."""
        return max(phases.product(matrix).cycles, self.accelerator.cycles(matrix.m * len(matrix.chunks) / self.accelerator.lanes))

    @property
    def _last(self) -> float:
        """What the last results take in a block: to be requantized, say."""
        return self.accelerator.elementwise(outputs(self.dram))

    def _layer(self, position: int) -> Mapping[str, float]:
        m, a, last = self.matrices, self.accelerator, self._last
        first, second = m["MLP, first"], m["MLP, second"]
        qkv, up = self._product(m["queries, keys, values"]), self._product(first)
        norm = a.rowwise(VectorOperation.LAYERNORM, 1, self.model.width)
        of_first_chunk = 1 / len(second.chunks)
        gelu = max(0.0, 2 * last - up * (1 - of_first_chunk))
        return {
            **{name: self._product(matrix) for name, matrix in m.items()},
            **self._attention(position),
            "LayerNorm": 2 * norm,
            "residual": 2 * last,
            "GELU": gelu,
            "requantization": max(0.0, last - qkv / 3) + 3 * last,
        }

    def _attention(self, position: int) -> Mapping[str, float]:
        a, of, tokens = self.accelerator, self.cache, position + 1
        of_head = a.cycles(-(-tokens // a.lanes))
        scores = max(phases.scores(of, position).cycles, of_head * self.model.heads)
        appended, weighted = phases.value_append(of, position).cycles, phases.weighted(of, tokens).cycles / of.slots
        last_row = self._last + a.rowwise(VectorOperation.SOFTMAX, 0, tokens)
        softmax, free, waited = 0.0, scores + appended, 0.0
        for slot in range(of.slots):
            heads = min(of.sets, self.model.heads - slot * of.sets)
            softmax = max(softmax, scores * (slot + 1) / of.slots) + heads * of_head
            there = softmax + last_row
            waited += max(0.0, there - free)
            free = max(free, there) + weighted
        return {"scores": scores, "appending values": appended, "softmax": waited, "weighted values": weighted * of.slots}

    def _ends(self) -> Mapping[str, float]:
        a, width = self.accelerator, self.model.width
        return {
            "embedding": 2 * self._row.cycles + a.elementwise(width),
            "LayerNorm": a.rowwise(VectorOperation.LAYERNORM, 1, width),
            "logits": self._product(self.logits),
            "argmax": 2 * self._last,
        }
