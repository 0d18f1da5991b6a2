"""Streaming attention equals its golden model, loses no cycle while values flow, and drops malformed rows whole."""

import random
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from ..rtl.accumulators import DISTANCE
from ..rtl.arch.attention import AttentionCircuit
from ..rtl.arch.blocks import BlockError
from ..rtl.arch.formats import INT8
from ..sw.golden.attention import AttentionParameters, attention
from .beats import kept, random_rows, set_parameters, to_beats
from .rules import check_streams
from .runner import parameters

CIRCUIT = AttentionCircuit.from_dict(parameters()["circuit"])
FIXED: dict[str, int] | None = parameters()["fixed"]
LANES, MOST, HEAD, SOURCE, OUT = CIRCUIT.lanes, CIRCUIT.row_elements, CIRCUIT.head_elements, CIRCUIT.source, CIRCUIT.out
Row = tuple[NDArray[np.int64], NDArray[np.int64]]  # scores [n], values [n, d]


def _parameter_sets() -> list[AttentionParameters]:
    if FIXED is not None:
        return [AttentionParameters(**FIXED)]
    span, p = SOURCE.max - SOURCE.min, CIRCUIT.weights.precision
    out_scale = 0.02 if OUT.bits == 8 else 0.0001
    usual = [
        AttentionParameters.of(CIRCUIT, in_scale=reach / span, value_scale=0.02, value_zero_point=zero, out_scale=out_scale)
        for reach, zero in ((6.0, 0), (60.0, -128), (2.0 ** (CIRCUIT.weights.exponent_bits - 1), 127))
    ]
    limits = {"out_zero_point": -1, "low": -100, "high": 100}
    flat = AttentionParameters(multiplier=1, shift=63, out_multiplier=(1 << 18) - 1, out_shift=0, **limits)
    steep = AttentionParameters(multiplier=(1 << p.multiplier_bits) - 1, shift=0, out_multiplier=1, out_shift=63, **limits)
    return [*usual, flat, steep]


def _row(rng: random.Random, keys: int, width: int) -> Row:
    return random_rows(rng, [keys], SOURCE.bits)[0], np.stack(random_rows(rng, [width] * keys, INT8.bits))


def _scores(rows: Sequence[Row]) -> list[int]:
    return to_beats([scores for scores, _ in rows], 1, element_bits=SOURCE.bits)


def _values(rows: Sequence[Row]) -> list[int]:
    return to_beats([value for _, values in rows for value in values], LANES, element_bits=INT8.bits)


async def _check(
    dut: Any,
    p: AttentionParameters,
    rows: Sequence[Row],
    *,
    scores: list[int] | None = None,
    values: list[int] | None = None,
    seed: int,
    without_bubbles: Sequence[str] = (),
) -> None:
    """The rows, as they are or as these beats."""
    if FIXED is None:
        set_parameters(dut, CIRCUIT.record, p)
    dut.clear.value = 0
    results = [attention(s[None], v, p, CIRCUIT)[0] for s, v in rows]
    await check_streams(
        dut,
        inputs={"scores": scores or _scores(rows), "values": values or _values(rows)},
        outputs={"o": to_beats(results, LANES, element_bits=OUT.bits)},
        meaning={"o": lambda beat: kept(beat, LANES, OUT.bits)},
        seed=seed,
        without_bubbles=without_bubbles,
    )


@cocotb.test()
async def equals_the_model(dut: Any) -> None:
    rng = random.Random(1)
    for seed, p in enumerate(_parameter_sets()):
        keys = [1, MOST, 1, 1, 2, 5, 1, 9]
        await _check(dut, p, [_row(rng, n, rng.choice((1, HEAD, HEAD, LANES))) for n in keys], seed=seed)


@cocotb.test(skip=-(-HEAD // LANES) < DISTANCE)
async def loses_no_cycle(dut: Any) -> None:
    """From row to row, where a row's values take longer than the way of its last score to the factor."""
    rng, p = random.Random(2), _parameter_sets()[0]
    await _check(dut, p, [_row(rng, MOST, HEAD) for _ in range(3)], seed=2, without_bubbles=["values"])


@cocotb.test()
async def drops_malformed_rows(dut: Any) -> None:
    """Scores that are too many or none, and values of wrong lengths leave nothing behind but their error bits."""
    rng, p = random.Random(3), _parameter_sets()[0]
    good = [_row(rng, n, HEAD) for n in (3, 1, 2, 4)]
    too_many, no_score, too_long, too_short = (_row(rng, n, HEAD) for n in (MOST + 1, 2, 3, 3))
    hole = _scores([no_score])
    hole[1] &= ~(1 << SOURCE.bits)
    long_value = to_beats([np.zeros(HEAD + LANES, np.int64)], LANES, element_bits=INT8.bits)
    short_value = to_beats([np.zeros(1, np.int64)], LANES, element_bits=INT8.bits)
    beats = -(-HEAD // LANES)
    wrong = [
        (_scores([too_many]), _values([too_many])),
        (hole, _values([no_score])),
        (_scores([too_long]), [*_values([too_long])[:beats], *long_value, *_values([too_long])[2 * beats :]]),
        (_scores([too_short]), [*_values([too_short])[:beats], *short_value, *_values([too_short])[2 * beats :]]),
    ]
    nothing = [1 << (SOURCE.bits + 1)]  # a packet without a score
    scores = [b for row, (s, _) in zip(good, wrong, strict=True) for b in (*_scores([row]), *nothing, *s)]
    values = [b for row, (_, v) in zip(good, wrong, strict=True) for b in (*_values([row]), *v)]
    if beats == 1:  # a short value can't be told from others
        good, scores, values = good[:3], [], []
        scores = [b for row, (s, _) in zip(good, wrong, strict=False) for b in (*_scores([row]), *nothing, *s)]
        values = [b for row, (_, v) in zip(good, wrong, strict=False) for b in (*_values([row]), *v)]
    await _check(dut, p, good, scores=scores, values=values, seed=4)
    assert int(dut.errors.value) == BlockError.EMPTY | BlockError.LONG


@cocotb.test(skip=FIXED is not None)
async def refuses_a_scale_of_zero(dut: Any) -> None:
    rng, p = random.Random(5), _parameter_sets()[0]
    rows = [_row(rng, 3, HEAD), _row(rng, 1, HEAD)]
    dut.parameters.value = CIRCUIT.record.pack({field.name: getattr(p, field.name) for field in CIRCUIT.record.fields} | {"multiplier": 0})
    await check_streams(dut, inputs={"scores": _scores(rows), "values": _values(rows)}, outputs={"o": []}, seed=6, without_bubbles=[])
    assert int(dut.errors.value) == BlockError.PARAMETER
    await _check(dut, p, rows, seed=7)
    assert int(dut.errors.value) == 0  # the check begins with a reset
