"""The parts of a decoder's layer on the PIM controller, Verilated, at sizes that simulate in seconds: results and cycles."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.dram import MODE_FORMAT, Dram, NumberFormat
from ..rtl.arch.pim import Macro
from ..sw.pim import phases
from ..sw.pim.cache import CacheMap
from ..sw.pim.mapping import Columns, Image, MatrixMap, sums_of
from ..sw.pim.phases import Phase
from .pim_bench import PimBench

HEADS, WIDTH, TOKENS = 4, 64, 200


@dataclass(frozen=True, kw_only=True)
class Part:
    """What lies in the DRAM, the macros and their data, how `result` reads the answer and what it must be, and the model's account. after:
    what must lie in the DRAM then."""

    name: str
    image: Image
    macros: list[tuple[Macro, Mapping[str, int]]]
    data: Columns
    result: Callable[[Columns], NDArray[np.int32]]
    expected: NDArray[np.int32]
    model: Phase
    after: Image = field(default_factory=dict)


def parts(dram: Dram) -> Iterator[Part]:
    rng = np.random.default_rng(1)

    def numbers(*shape: int) -> NDArray[np.int8]:
        return rng.integers(-128, 128, shape, np.int8)

    for name, m, k in (("product", 384, 768), ("product in chunks", 150, 5000)):
        there, matrix, vector = MatrixMap(dram=dram, m=m, k=k), numbers(m, k), numbers(k)
        yield Part(
            name=f"{name}, [{m}, {k}]",
            **{"image": there.image(matrix), "macros": [*there.macros()], "data": there.written(vector), "result": there.result},
            **{"expected": matrix.astype(np.int32) @ vector, "model": phases.product(there)},
        )
    for sets in (1, dram.channels):
        cache = CacheMap(dram=dram, heads=HEADS, width=WIDTH, tokens=512, sets=sets)
        keys, values, query = numbers(TOKENS, HEADS, WIDTH), numbers(TOKENS, HEADS, WIDTH), numbers(HEADS, WIDTH)
        shares, image, where = (
            numbers(HEADS, TOKENS),
            cache.image(keys, values),
            f"heads: {HEADS}, sets: {sets}, tokens: {TOKENS}",
        )
        macros, data = [*cache.query_macros()], [cache.queries(query)]
        for slot, new in enumerate(cache.keys(keys[-1])):
            macros += [*cache.key_macros(slot, TOKENS - 1), *cache.score_macros(slot, TOKENS)]
            data += [new, cache.score_data(TOKENS)]
        yield Part(
            **{"name": f"scores, {where}", "image": cache.image(keys[:-1], values), "macros": macros, "data": np.concatenate(data)},
            **{"result": lambda read, cache=cache: cache.scores(read, TOKENS), "model": phases.scores(cache, TOKENS - 1)},
            expected=np.einsum("hw,thw->ht", query.astype(np.int32), keys),
        )
        yield Part(
            **{"name": f"values appended, {where}", "image": cache.image(keys, values[:-1]), "after": image},
            **{"macros": [*cache.scatter_macros(TOKENS - 1)], "data": cache.scattered(values[-1])},
            **{"result": lambda _: np.zeros(0, np.int32), "expected": np.zeros(0, np.int32)},
            model=phases.value_append(cache, TOKENS - 1),
        )
        yield Part(
            name=f"weighted values, {where}",
            **{"image": image, "macros": [m for slot in range(cache.slots) for m in cache.value_macros(slot, TOKENS)]},
            **{"data": cache.probabilities(shares), "result": cache.weighted},
            **{"expected": np.einsum("ht,thw->hw", shares.astype(np.int32), values), "model": phases.weighted(cache, TOKENS)},
        )


def simulate(dram: Dram, part: Part) -> int:
    """Cycles of a part, behind a sum in another row. Raises AssertionError unless the results are right."""
    with PimBench(dram) as bench:
        for place, columns in part.image.items():
            bench.set_row(*place, columns)
        bench.macro(Macro.SET_MODE, mode=NumberFormat.INT8 << MODE_FORMAT)
        bench.write(np.zeros((dram.channels * dram.accumulator_columns, dram.column_bytes)))
        for macro, fields in sums_of(dram, 0, (dram.rows - 1) * dram.columns, 1):
            bench.macro(macro, **fields)
        bench.finish()
        bench.read()
        bench.write(part.data)
        for macro, fields in part.macros:
            bench.macro(macro, **fields)
        cycles = bench.finish()
        assert (part.result(bench.read()) == part.expected).all(), part.name
        for place, columns in part.after.items():
            assert (bench.row(*place) == columns).all(), (part.name, place)
        return cycles
