"""Where matrices and caches lie in DRAM that computes: products on the golden device, whose bits the hardware's are."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.rtl.arch.dram import MODE_FORMAT, PRESETS, Dram, NumberFormat
from celosia.rtl.arch.pim import Macro
from celosia.sw.golden.pim import matrix_vector, to_bf16
from celosia.sw.golden.pim_device import PimDevice
from celosia.sw.pim.cache import CacheMap, best_cache
from celosia.sw.pim.mapping import Image, MappingError, MatrixMap
from celosia.tb.pim_targets import execute_all
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = Dram(timing=PRESETS["aim"].timing, channels=4, bank_groups=2, group_banks=2, rows=64, columns=8, column_bytes=8, buffer_columns=4)


def device(dram: Dram, kind: NumberFormat, image: Image) -> PimDevice:
    found = PimDevice(dram)
    found.execute(Macro.SET_MODE, channels=(1 << dram.channels) - 1, mode=kind << MODE_FORMAT)
    for place, columns in image.items():
        found.row(*place)[:] = columns
    return found


@settings(deadline=None)
@given(
    m=st.integers(1, 70),
    k=st.integers(1, 100),
    row=st.integers(0, 3),
    kind=st.sampled_from((NumberFormat.INT8, NumberFormat.BF16)),
    split=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_product_is_the_golden_models(m: int, k: int, row: int, kind: NumberFormat, split: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    if kind is NumberFormat.INT8:
        matrix, vector = rng.integers(-128, 128, (m, k), np.int8), rng.integers(-128, 128, k, np.int8)
    else:
        matrix, vector = to_bf16(rng.normal(size=(m, k))), to_bf16(rng.normal(size=k))
    there = MatrixMap(dram=SMALL, m=m, k=k, row=row, kind=kind, split=split)
    image = there.image(matrix)
    assert {r for _, _, r in image} == set(range(row, row + there.rows))
    found = there.result(execute_all(device(SMALL, kind, image), there.macros(), there.written(vector)))
    lanes = SMALL.lanes(kind)
    chunks = [slice(first * lanes, end * lanes) for first, end in there.chunks]
    expected = [matrix_vector(matrix[:, chunk], vector[chunk], lanes) for chunk in chunks]
    total = expected[0]
    for chunk in expected[1:]:
        total = total + chunk
    assert (found == total).all()


@settings(deadline=None)
@given(
    heads=st.integers(1, 6), width=st.integers(1, 20), sets=st.sampled_from((1, 2, 4)), tokens=st.integers(1, 32), seed=st.integers(0, 99)
)
def test_attention_is_products_of_each_head(heads: int, width: int, sets: int, tokens: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dram = replace(SMALL, buffer_columns=32)
    cache = CacheMap(dram=dram, heads=heads, width=width, tokens=32, sets=sets, row=1)
    keys, values = rng.integers(-128, 128, (2, tokens, heads, width), np.int8)
    query, probabilities = rng.integers(-128, 128, (heads, width), np.int8), rng.integers(-128, 128, (heads, tokens), np.int8)
    on = device(dram, NumberFormat.INT8, cache.image(keys[:-1], values))
    execute_all(on, cache.query_macros(), cache.queries(query))
    answers = []
    for slot, new in enumerate(cache.keys(keys[-1])):
        execute_all(on, cache.key_macros(slot, tokens - 1), new)
        answers.append(execute_all(on, cache.score_macros(slot, tokens), cache.score_data(tokens)))
    scores = cache.scores(np.concatenate(answers), tokens)
    assert (scores == np.einsum("hw,thw->ht", query.astype(np.int32), keys)).all()
    macros = [macro for slot in range(cache.slots) for macro in cache.value_macros(slot, tokens)]
    weighted = cache.weighted(execute_all(on, macros, cache.probabilities(probabilities)))
    assert (weighted == np.einsum("ht,thw->hw", probabilities.astype(np.int32), values)).all()


@settings(deadline=None)
@given(heads=st.integers(1, 6), width=st.integers(1, 20), sets=st.sampled_from((1, 2, 4)), token=st.integers(0, 31))
def test_a_new_value_lies_where_it_is_scattered(heads: int, width: int, sets: int, token: int) -> None:
    dram = replace(SMALL, buffer_columns=32)
    cache = CacheMap(dram=dram, heads=heads, width=width, tokens=32, sets=sets)
    values = np.zeros((32, heads, width), np.int8)
    values[token] = np.arange(1, heads * width + 1).reshape(heads, width)
    on = device(dram, NumberFormat.INT8, {})
    execute_all(on, cache.scatter_macros(token), cache.scattered(values[token]))
    for place, columns in cache.image(np.zeros_like(values), values).items():
        assert (on.row(*place) == columns).all()


@settings(deadline=None)
@given(m=st.integers(1, 200), k=st.integers(1, 100))
def test_no_group_is_split_that_fits_a_row(m: int, k: int) -> None:
    there = MatrixMap(dram=SMALL, m=m, k=k, split=False)
    for (first, end), places in zip(there.chunks, there.places, strict=True):
        assert all(place // 8 == (place + end - first - 1) // 8 for place in places)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        MappingError, match=r"^a matrix \[33, 2049\] needs 97 rows of each bank from row 2 on, the device has 64, 35 too few$"
    ):
        MatrixMap(dram=SMALL, m=33, k=2049, row=2)
    cache = CacheMap(dram=SMALL, heads=2, width=8, tokens=8)
    for use in (cache.scatter_macros(8), cache.key_macros(0, 8)):
        with pytest.raises(MappingError, match=r"^the cache is full: it has room for 8 tokens, and none for token 8$"):
            list(use)
    with pytest.raises(
        MappingError, match=r"^a cache of 32 tokens needs 64 rows of each bank from row 1 on, the device has 64, 1 too few$"
    ):
        CacheMap(dram=replace(SMALL, buffer_columns=32), heads=64, width=16, tokens=32, sets=4, row=1)
    with pytest.raises(MappingError, match=r"^the cache needs 5 columns of a global buffer of 4$"):
        best_cache(SMALL, heads=2, width=8, tokens=40)
    with pytest.raises(MappingError, match=r"^4 channels are not 3 sets of as many$"):
        CacheMap(dram=SMALL, heads=2, width=8, tokens=8, sets=3)


def test_heads_lie_in_as_many_sets_as_leave_the_fewest_banks_idle() -> None:
    aim = PRESETS["aim"]
    assert best_cache(aim, heads=12, width=64, tokens=1024).sets == 4
    assert best_cache(aim, heads=16, width=64, tokens=1024).sets == 4  # more would leave softmax nothing to overlap with
    assert best_cache(replace(aim, channels=1), heads=12, width=64, tokens=1024).sets == 1
