"""Softmax equals its golden model, loses no cycle whatever the rows' lengths, and drops malformed rows whole."""

import random
from typing import Any

import cocotb
import numpy as np

from ..rtl.arch.blocks import BlockError
from ..rtl.arch.softmax import Mask, SoftmaxCircuit
from ..rtl.column_sums import SUM
from ..sw.golden.softmax import SoftmaxParameters, column_sums, softmax
from .beats import Rows, check_rows, kept, lengths, random_rows, set_parameters, to_beats
from .rules import check_streams
from .runner import parameters

CIRCUIT = SoftmaxCircuit.from_dict(parameters()["circuit"])
FIXED: dict[str, int] | None = parameters()["fixed"]
LANES, LONGEST, SOURCE, OUT = CIRCUIT.lanes, CIRCUIT.row_elements, CIRCUIT.source, CIRCUIT.out
MEANING = {"o": lambda beat: kept(beat, LANES, OUT.bits), "sums": lambda beat: kept(beat, LANES, SUM.width)}
WITHOUT_BUBBLES = [] if CIRCUIT.column_sums else ["i"]  # very short rows wait for their columns' sums
MATRIX: dict[str, Any] = {"length": 3, "rows": 4}


def _parameter_sets() -> list[SoftmaxParameters]:
    if FIXED is not None:
        return [SoftmaxParameters(**FIXED)]
    span, p = SOURCE.max - SOURCE.min, CIRCUIT.precision
    reaches = (6.0, 60.0, 2.0 ** (CIRCUIT.exponent_bits - 1))
    usual = [SoftmaxParameters.from_scales(CIRCUIT, in_scale=reach / span, **MATRIX) for reach in reaches]
    finest = SoftmaxParameters.from_scales(CIRCUIT, in_scale=20 / span, out_scale=2.0**-27, out_zero_point=OUT.min + 5, **MATRIX)
    limits = {"out_zero_point": -1, "low": -100, "high": 100, **MATRIX}
    flat = SoftmaxParameters(multiplier=1, shift=63, out_multiplier=(1 << 18) - 1, out_shift=0, **limits)
    steep = SoftmaxParameters(multiplier=(1 << p.multiplier_bits) - 1, shift=0, out_multiplier=1, out_shift=63, **limits)
    return [*usual, finest, flat, steep]


def _rows(rng: random.Random, sizes: list[int]) -> Rows:
    return random_rows(rng, sizes, SOURCE.bits)


def _expected(rows: Rows, p: SoftmaxParameters) -> Rows:
    if CIRCUIT.mask is Mask.CAUSAL:  # the rows of matrices, which have one length
        return list(softmax(np.stack(rows), p, CIRCUIT))
    return [softmax(row, p, CIRCUIT) for row in rows]


def _prepare(dut: Any, p: SoftmaxParameters) -> None:
    if FIXED is None:
        set_parameters(dut, CIRCUIT.record, p)
    dut.clear.value = 0
    if CIRCUIT.column_sums:
        dut.sums__ready.value = 1


async def _check(dut: Any, p: SoftmaxParameters, rows: Rows, *, seed: int, without_bubbles: list[str] | None) -> None:
    _prepare(dut, p)
    await check_rows(
        dut,
        lanes=LANES,
        inputs={"i": rows},
        output=_expected(rows, p),
        seed=seed,
        without_bubbles=without_bubbles,
        in_bits=SOURCE.bits,
        out_bits=OUT.bits,
    )


@cocotb.test()
async def equals_the_model(dut: Any) -> None:
    """Rows of any lengths back to back: the input never waits."""
    rng = random.Random(1)
    for seed, p in enumerate(_parameter_sets()):
        sizes = [2 * LANES + 1] * 9 if CIRCUIT.mask is Mask.CAUSAL else [*lengths(LANES, LONGEST), *([1] * 40)]
        await _check(dut, p, _rows(rng, sizes), seed=seed, without_bubbles=WITHOUT_BUBBLES)


@cocotb.test(skip=CIRCUIT.column_sums)
async def loses_no_cycle(dut: Any) -> None:
    """Rows of one length: neither input nor output."""
    rng, p = random.Random(2), _parameter_sets()[0]
    for size, count in ((LONGEST, 5), (1, 40), (min(LONGEST, LANES + 1), 30)):
        await _check(dut, p, _rows(rng, [size] * count), seed=size, without_bubbles=None)


@cocotb.test(skip=not CIRCUIT.column_sums)
async def sums_the_columns(dut: Any) -> None:
    """Of matrices of several widths; long rows lose no cycle."""
    rng = random.Random(8)
    for seed, p in enumerate(_parameter_sets()):
        _prepare(dut, p)
        for size in (1, LANES + 1, min(LONGEST, 4 * LANES)):
            matrices = [np.stack(_rows(rng, [size] * p.rows)) for _ in range(3)]
            results = [softmax(matrix, p, CIRCUIT) for matrix in matrices]
            sums = [column_sums(result, p, CIRCUIT)[0] for result in results]
            await check_streams(
                dut,
                inputs={"i": to_beats([*np.concatenate(matrices)], LANES, element_bits=SOURCE.bits)},
                outputs={
                    "o": to_beats([*np.concatenate(results)], LANES, element_bits=OUT.bits),
                    "sums": to_beats(sums, LANES, element_bits=SUM.width),
                },
                meaning=MEANING,
                seed=seed,
                without_bubbles=["i", "o"] if size > 2 * LANES else [],
            )


@cocotb.test()
async def drops_malformed_rows(dut: Any) -> None:
    """Rows that are too long, without an element, or with gaps leave nothing behind but their error bits."""
    rng, p = random.Random(3), _parameter_sets()[0]
    _prepare(dut, p)

    def beats(rows: Rows) -> list[int]:
        return to_beats(rows, LANES, element_bits=SOURCE.bits)

    keep, last = SOURCE.bits * LANES, (SOURCE.bits + 1) * LANES
    good = _rows(rng, [LONGEST, 2, 1, LONGEST, 5])
    one_too_many, far_too_long = (beats(_rows(rng, [size])) for size in (LONGEST + 1, 3 * LONGEST))
    empty = [1 << last]
    gaps = [beats(_rows(rng, [2 * LANES]))[0] & ~(1 << keep), *beats(_rows(rng, [LANES]))]
    bad = [one_too_many, empty, gaps, far_too_long]
    inputs = [beat for row, fault in zip(good, [*bad, []], strict=True) for beat in (*beats([row]), *fault)]
    # a dropped row keeps its place in the matrix, for a causal mask
    places = [2 * i for i in range(len(good))]
    outputs = to_beats(_expected_in_place(good, places, p), LANES, element_bits=OUT.bits)
    await check_streams(
        dut,
        inputs={"i": inputs},
        outputs={"o": outputs},
        meaning=MEANING,
        seed=4,
        without_bubbles=WITHOUT_BUBBLES,
    )
    assert int(dut.errors.value) == BlockError.EMPTY | BlockError.LONG


def _expected_in_place(rows: Rows, places: list[int], p: SoftmaxParameters) -> Rows:
    """Of the rows with these places in the stream of all rows."""
    return [softmax(np.tile(row, (place + 1, 1)), p, CIRCUIT)[place] for row, place in zip(rows, places, strict=True)]


@cocotb.test(skip=FIXED is not None)
async def refuses_a_scale_of_zero(dut: Any) -> None:
    rng, p = random.Random(5), _parameter_sets()[0]
    rows = _rows(rng, [3, 3])
    for name in ("multiplier", "out_multiplier"):
        values = {field.name: getattr(p, field.name) for field in CIRCUIT.record.fields} | {name: 0}
        dut.parameters.value = CIRCUIT.record.pack(values)
        await check_streams(dut, inputs={"i": to_beats(rows, LANES, element_bits=SOURCE.bits)}, outputs={"o": []}, seed=6)
        assert int(dut.errors.value) == BlockError.PARAMETER
    await _check(dut, p, rows, seed=7, without_bubbles=[])
    assert int(dut.errors.value) == 0  # the check begins with a reset
