"""Keys and values of past tokens, int8, in DRAM whose banks compute: where they lie, and the macros of attention on them.

The channels are cut into sets of as many, `sets` of them, and each head is one set's: head h is set h % sets' slot h // sets. All sets do
the same at the same time, each on what its global buffers hold: its heads' queries and probabilities. A set gives `outputs` sums at once.

Keys lie row-major: token t is bank t % outputs', group t // outputs. Values lie column-major: feature j is bank j % outputs', part
j // outputs, and all tokens that there is room for follow each other. The groups of a slot's keys follow each other, then come those of the
next slot, so that a slot's scores are there before the next one's are begun, and each row is opened once; so do the parts of its values.

More sets are better where few tokens would leave banks idle in the last group, fewer where heads would leave sets idle in the last slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.dram import Dram
from ...rtl.arch.pim import Macro
from .mapping import Columns, Image, Macros, MappingError, check_rows, filled_rows, in_columns, outputs, start_values, sums_of

LEAST_SLOTS = 3


@dataclass(frozen=True, kw_only=True)
class CacheMap:
    """Of a layer: room for `tokens` from `row` of each bank on. width: of a head.

    Raises MappingError where the device ends before, or the global buffer has no room for the queries of a set or a head's probabilities.
    """

    dram: Dram
    heads: int
    width: int
    tokens: int
    sets: int = 1
    row: int = 0

    def __post_init__(self) -> None:
        d = self.dram
        if d.channels % self.sets:
            raise MappingError(f"{d.channels} channels are not {self.sets} sets of as many")
        most = max(self.slots * self.key_columns, self.token_columns)
        if most > d.buffer_columns:
            raise MappingError(f"the cache needs {most} columns of a global buffer of {d.buffer_columns}")
        check_rows(d, f"a cache of {self.tokens} tokens", self.row, self.rows)

    @property
    def outputs(self) -> int:
        """That a set gives at once."""
        return outputs(self.dram) // self.sets

    @property
    def slots(self) -> int:
        return -(-self.heads // self.sets)

    @property
    def key_columns(self) -> int:
        """Of a head."""
        return -(-self.width // self.dram.column_bytes)

    @property
    def token_columns(self) -> int:
        return -(-self.tokens // self.dram.column_bytes)

    @property
    def parts(self) -> int:
        """That the features of a head make."""
        return -(-self.width // self.outputs)

    @cached_property
    def key_rows(self) -> int:
        return -(-self.groups(self.tokens) * self.slots * self.key_columns // self.dram.columns)

    @property
    def rows(self) -> int:
        """Of each bank."""
        return self.key_rows + -(-self.slots * self.parts * self.token_columns // self.dram.columns)

    def groups(self, tokens: int) -> int:
        return -(-tokens // self.outputs)

    def masks(self) -> Sequence[int]:
        """The channels of each set, a bit each."""
        size = self.dram.channels // self.sets
        return [((1 << size) - 1) << size * number for number in range(self.sets)]

    def key_place(self, slot: int, group: int) -> int:
        """The first column, counted from row 0 on."""
        return self.row * self.dram.columns + (slot * self.groups(self.tokens) + group) * self.key_columns

    def value_place(self, slot: int, part: int) -> int:
        return (self.row + self.key_rows) * self.dram.columns + (slot * self.parts + part) * self.token_columns

    # Scores

    def query_macros(self) -> Macros:
        """Of a query, before all scores."""
        return self._to_buffers(self.slots * self.key_columns)

    def queries(self, query: NDArray[np.int8]) -> Columns:
        """Their data, for a query [heads, width]."""
        return self._by_set(in_columns(query, self.dram)).reshape(-1, self.dram.column_bytes)

    def score_macros(self, slot: int, tokens: int) -> Macros:
        """Of the scores of a slot's heads with the keys of ``tokens`` tokens."""
        for group in range(self.groups(tokens)):
            yield from sums_of(self.dram, slot * self.key_columns, self.key_place(slot, group), self.key_columns)

    def score_data(self, tokens: int) -> Columns:
        return start_values(self.dram, self.groups(tokens))

    def scores(self, read: Columns, tokens: int) -> NDArray[np.int32]:
        """[heads, tokens] of what `score_macros` of all slots answer."""
        sums = read.reshape(-1).view(np.int32).reshape(self.slots, -1, self.sets, self.outputs)
        return sums.swapaxes(1, 2).reshape(self.slots * self.sets, -1)[: self.heads, :tokens]

    # Values weighted with probabilities

    def value_macros(self, slot: int, tokens: int) -> Macros:
        """Of the sums of the values of ``tokens`` tokens, weighted with the probabilities of the heads of a slot."""
        columns = -(-tokens // self.dram.column_bytes)
        yield from self._to_buffers(columns)
        for part in range(self.parts):
            yield from sums_of(self.dram, 0, self.value_place(slot, part), columns)

    def _to_buffers(self, columns: int) -> Macros:
        """Of each set in turn."""
        for mask in self.masks():
            yield Macro.WRITE_BUFFER, {"channels": mask, "buffer": 0, "count": columns}

    def probabilities(self, probabilities: NDArray[np.int8]) -> Columns:
        """The data of `value_macros` of all slots, for probabilities [heads, tokens]."""
        start = start_values(self.dram, self.parts)
        slots = self._by_set(in_columns(probabilities, self.dram)).swapaxes(0, 1).reshape(self.slots, -1, self.dram.column_bytes)
        return np.concatenate([part for slot in slots for part in (slot, start)])

    def weighted(self, read: Columns) -> NDArray[np.int32]:
        """[heads, width] of what `value_macros` of all slots answer."""
        sums = read.reshape(-1).view(np.int32).reshape(self.slots, self.parts, self.sets, self.outputs)
        return sums.transpose(0, 2, 1, 3).reshape(self.slots * self.sets, -1)[: self.heads, : self.width]

    # A token's key and value

    def key_macros(self, slot: int, token: int) -> Macros:
        """Of a new token's keys of a slot: they lie in one bank of one channel of each set. A sum over a column, which nobody reads, opens
        the row in all banks, so the slot's scores may find it open."""
        check_room(self.tokens, token)
        group, output = divmod(token, self.outputs)
        channel, bank = divmod(output, self.dram.banks)
        row, column = divmod(self.key_place(slot, group), self.dram.columns)
        place = {"row": row, "column": column, "count": self.key_columns}
        yield Macro.MAC_ALL, {**place, "buffer": 0, "count": 1}
        for number in range(self.sets):
            yield Macro.WRITE, {**place, "channels": 1 << number * self.dram.channels // self.sets + channel, "bank": bank}

    def keys(self, key: NDArray[np.int8]) -> Columns:
        """The data of `key_macros`, for a key [heads, width]: [slots, sets * key_columns, column_bytes]."""
        return self._by_set(in_columns(key, self.dram)).swapaxes(0, 1).reshape(self.slots, -1, self.dram.column_bytes)

    def scatter_macros(self, token: int) -> Macros:
        """Of a new token's values: a byte to each bank, for each slot and part in turn. A sum that nobody reads opens a row in all."""
        check_room(self.tokens, token)
        turn, lane = divmod(token, self.dram.column_bytes)
        opened = None
        for slot, part in product(range(self.slots), range(self.parts)):
            row, column = divmod(self.value_place(slot, part) + turn, self.dram.columns)
            if row != opened:
                yield Macro.MAC_ALL, {"row": row, "column": column, "buffer": 0, "count": 1}
            opened = row
            yield Macro.SCATTER, {"row": row, "column": column, "buffer": lane}

    def scattered(self, value: NDArray[np.int8]) -> Columns:
        """The data of `scatter_macros`, for a value [heads, width]: a byte for each bank of each channel."""
        whole = np.zeros((self.slots * self.sets, self.parts * self.outputs), np.int8)
        whole[: self.heads, : self.width] = value
        turns = whole.reshape(self.slots, self.sets, self.parts, self.outputs).swapaxes(1, 2)
        by_channel = turns.reshape(-1, self.dram.banks).view(np.uint8)
        return np.pad(by_channel, ((0, 0), (0, self.dram.column_bytes - self.dram.banks)))

    # What lies where

    def image(self, keys: NDArray[np.int8], values: NDArray[np.int8]) -> Image:
        """Of keys and values, both [tokens, heads, width]: what the rows of the DRAM hold."""
        keys, values = (np.pad(x, ((0, self.tokens - len(x)), *[(0, 0)] * 2)) for x in (keys, values))
        by_token = in_columns(keys, self.dram).swapaxes(0, 1)
        by_feature = in_columns(values.transpose(1, 2, 0), self.dram)
        return {
            **filled_rows(self.dram, self.row, self._of_banks(by_token)),
            **filled_rows(self.dram, self.row + self.key_rows, self._of_banks(by_feature)),
        }

    def _of_banks(self, x: Columns) -> Columns:
        """[heads, tokens or features, n, bytes] to what follows each other in each bank, [N, columns, bytes]."""
        turns = -(-x.shape[1] // self.outputs)
        whole = np.zeros((self.slots * self.sets, turns * self.outputs, *x.shape[2:]), np.uint8)
        whole[: self.heads, : x.shape[1]] = x
        by_bank = whole.reshape(self.slots, self.sets, turns, self.outputs, *x.shape[2:])
        return by_bank.transpose(1, 3, 0, 2, 4, 5).reshape(self.sets * self.outputs, -1, self.dram.column_bytes)

    def _by_set(self, heads: Columns) -> Columns:
        """[heads, n, bytes] to [sets, slots, n, bytes]."""
        whole = np.zeros((self.slots * self.sets, *heads.shape[1:]), np.uint8)
        whole[: self.heads] = heads
        return whole.reshape(self.slots, self.sets, *heads.shape[1:]).swapaxes(0, 1)


def check_room(tokens: int, token: int) -> None:
    """Raises MappingError unless what has room for so many tokens has room for this one, counted from 0."""
    if token >= tokens:
        raise MappingError(f"the cache is full: it has room for {tokens} tokens, and none for token {token}")


def best_cache(dram: Dram, heads: int, width: int, tokens: int, row: int = 0) -> CacheMap:
    """With as many sets as take the fewest sums, on average over the tokens, but no more than leave LEAST_SLOTS slots: while the scores of
    one are made, softmax works on those of the one before. Raises MappingError if none fits."""
    found: list[tuple[float, CacheMap]] = []
    error: MappingError | None = None
    for sets in (1 << i for i in range(dram.channels.bit_length())):
        if sets > 1 and -(-heads // sets) < LEAST_SLOTS:
            break
        try:
            cache = CacheMap(dram=dram, heads=heads, width=width, tokens=tokens, sets=sets, row=row)
        except MappingError as problem:
            error = problem
            continue
        found.append((cache.slots * (sum(map(cache.groups, range(1, tokens + 1))) / tokens + cache.parts), cache))
    if not found:
        raise error or AssertionError
    return min(found, key=lambda choice: choice[0])[1]
