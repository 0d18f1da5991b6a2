"""The model of decoding with DRAM that computes: its cycles against the hardware's, its counts against the shapes."""

from dataclasses import replace

import pytest
from celosia.rtl.arch.dram import PRESETS, Command
from celosia.rtl.arch.pim import Macro
from celosia.sw.pim.decoding import Accelerator, DecodingModel
from celosia.sw.pim.mapping import MappingError, MatrixMap
from celosia.sw.pim.models import MODELS, Model
from celosia.sw.pim.operations import operations
from celosia.sw.pim.phases import is_faster, product, with_refreshes
from celosia.sw.pim.schedule import ChannelSchedule
from celosia.tb.pim_layers import parts, simulate

AIM = PRESETS["aim"]
SMALL = Model(name="small", layers=2, width=256, heads=4, vocabulary=1000)


def test_each_part_of_a_layer_takes_what_the_model_says() -> None:
    dram = replace(AIM, channels=2)
    for part in parts(dram):
        assert part.model.cycles == pytest.approx(simulate(dram, part), rel=0.01), part.name


@pytest.mark.parametrize("preset", PRESETS)
def test_refreshes_take_what_the_schedule_says(preset: str) -> None:
    dram = PRESETS[preset]
    matrix = MatrixMap(dram=dram, m=128 * 1500, k=32 * 24)
    schedule = ChannelSchedule(dram)
    list(schedule.run(operations(dram, matrix.macros())))
    assert with_refreshes(dram, product(matrix).cycles) == pytest.approx(schedule.now, rel=0.01)


def test_a_token_meets_all_weights_once_and_each_key_and_value() -> None:
    decoder, position = DecodingModel(model=SMALL, dram=AIM, tokens=64), 40
    token, cache, w = decoder.token(position), decoder.cache, SMALL.width // AIM.column_bytes
    of_weights = (6 + 2 + 8 + 4 * 2) * w + w * 8 / SMALL.layers  # groups of 128 outputs
    of_cache = cache.slots * cache.key_columns * cache.groups(position + 1) + cache.slots * cache.parts * 2
    opening = cache.slots + sum(macro is Macro.MAC_ALL for macro, _ in cache.scatter_macros(position))
    assert token.counts[Command.MACA] == AIM.channels * SMALL.layers * (of_weights + of_cache + opening)
    assert token.counts[Command.WR] == AIM.channels * SMALL.layers * (cache.slots * cache.key_columns + cache.slots * cache.parts * 16)


def test_what_has_few_outputs_is_faster_fetched() -> None:
    few, many = (MatrixMap(dram=AIM, m=m, k=768) for m in (4, 64))
    assert [is_faster(product(matrix), matrix.m * 24) for matrix in (few, many)] == [False, True]


def test_a_slower_accelerator_takes_longer_only_where_it_is_waited_for() -> None:
    fast, slow = (DecodingModel(model=SMALL, dram=AIM, accelerator=Accelerator(mhz=mhz)).token(5).cycles for mhz in (1000, 100))
    assert {part for part in fast if fast[part] == slow[part]} == {
        *("queries, keys, values", "projection", "MLP, first", "MLP, second"),
        *("scores", "appending values", "weighted values", "logits"),
    }
    assert slow["LayerNorm"] == 10 * fast["LayerNorm"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(MappingError, match=r"^GPT-2 XL needs \d+ rows of each bank from row 0 on, the device has 16384, \d+ too few$"):
        DecodingModel(model=MODELS["GPT-2 XL"], dram=replace(AIM, channels=1))
    with pytest.raises(MappingError, match=r"^the cache is full: it has room for 64 tokens, and none for token 64$"):
        DecodingModel(model=SMALL, dram=AIM, tokens=64).token(64)
