"""LayerNorm equals its golden model, loses no cycle whatever the rows' lengths, and drops malformed packets whole."""

import random
from typing import Any

import cocotb
import numpy as np

from ..rtl.arch.blocks import BlockError
from ..rtl.arch.formats import INT16
from ..rtl.arch.layernorm import LayerNormCircuit
from ..sw.golden.layernorm import LayerNormParameters, layernorm
from .beats import Rows, kept, lengths, random_rows, set_parameters, to_beats
from .rules import check_streams
from .runner import parameters

CIRCUIT = LayerNormCircuit.from_dict(parameters()["circuit"])
FIXED: dict[str, int] | None = parameters()["fixed"]
LANES, LONGEST, SOURCE, OUT = CIRCUIT.lanes, CIRCUIT.row_elements, CIRCUIT.source, CIRCUIT.out


def _parameter_sets(rng: random.Random) -> list[LayerNormParameters]:
    """Usual ones, and what is at the ends of the fields; gamma and beta for the longest rows."""
    gamma, beta = (np.array([rng.randint(INT16.min, INT16.max) for _ in range(LONGEST)]) for _ in range(2))
    if FIXED is not None:
        return [LayerNormParameters(gamma=gamma, beta=beta, **FIXED)]
    usual = LayerNormParameters.from_scales(
        in_scale=0.001,
        gamma=[rng.gauss(1, 0.5) for _ in range(LONGEST)],
        beta=[rng.gauss(1, 0.5) for _ in range(LONGEST)],
        epsilon=1e-5,
        out_scale=6 / (OUT.max - OUT.min),
        out_zero_point=OUT.min + 100,
        out=OUT,
    )
    limits = {"out_zero_point": -10, "low": -100, "high": 120}
    extremes = [
        LayerNormParameters(gamma=gamma, beta=beta, shift=shift, beta_shift=beta_shift, epsilon=epsilon, rms=rms, **limits)
        for shift, beta_shift, epsilon, rms in ((25, 20, 0, 0), (47, 31, (1 << 48) - 1, 0), (20, 3, 7, 1))
    ]
    return [usual, *extremes]


async def _check(
    dut: Any, p: LayerNormParameters, rows: Rows, *, beats: list[int] | None = None, seed: int, without_bubbles: list[str] | None
) -> None:
    """The rows, as ``beats`` or as they are."""
    if FIXED is None:
        set_parameters(dut, CIRCUIT.record, p)
    dut.clear.value = 0
    dut.reload.value = 0
    output = [layernorm(row, _shortened(p, len(row)), OUT) for row in rows]
    await check_streams(
        dut,
        inputs={
            "affine": to_beats([p.gamma, p.beta], LANES),
            "i": to_beats(rows, LANES, random.Random(seed), element_bits=SOURCE.bits) if beats is None else beats,
        },
        outputs={"o": to_beats(output, LANES, element_bits=OUT.bits)},
        meaning={"o": lambda beat: kept(beat, LANES, OUT.bits)},
        seed=seed,
        without_bubbles=without_bubbles,
    )


def _shortened(p: LayerNormParameters, n: int) -> LayerNormParameters:
    values = {field.name: getattr(p, field.name) for field in CIRCUIT.record.fields}
    return LayerNormParameters(gamma=p.gamma[:n], beta=p.beta[:n], **values)


def _rows(rng: random.Random, sizes: list[int]) -> Rows:
    return random_rows(rng, sizes, SOURCE.bits)


@cocotb.test()
async def equals_the_model(dut: Any) -> None:
    """Rows of any lengths back to back, the first of which wait for gamma and beta."""
    rng = random.Random(1)
    for seed, p in enumerate(_parameter_sets(rng)):
        await _check(dut, p, _rows(rng, [*lengths(LANES, LONGEST), *([1] * 20)]), seed=seed, without_bubbles=["affine"])


@cocotb.test()
async def loses_no_cycle(dut: Any) -> None:
    """As many rows as fit the row memory while gamma and beta come: neither on their way in nor out."""
    rng, p, room = random.Random(2), _parameter_sets(random.Random(1))[0], LONGEST // LANES
    for size, count in ((1, room), (LANES + 1, room // 2), (LONGEST, 1)):
        await _check(dut, p, _rows(rng, [min(size, LONGEST)] * count), seed=size, without_bubbles=None)


@cocotb.test()
async def drops_malformed_rows(dut: Any) -> None:
    """Rows that are too long, without an element, or with gaps leave nothing behind but their error bits."""
    rng, p = random.Random(3), _parameter_sets(random.Random(1))[0]
    good = _rows(rng, [LONGEST, 2, 1, LONGEST, 5])

    def beats(rows: Rows) -> list[int]:
        return to_beats(rows, LANES, element_bits=SOURCE.bits)

    keep, last = SOURCE.bits * LANES, (SOURCE.bits + 1) * LANES
    one_too_many, far_too_long = (beats(_rows(rng, [size])) for size in (LONGEST + 1, 3 * LONGEST))
    gaps = [beats(_rows(rng, [2 * LANES]))[0] & ~(1 << keep), *beats(_rows(rng, [LANES]))]
    bad = [one_too_many, [1 << last], gaps, far_too_long, []]
    sent = [beat for row, fault in zip(good, bad, strict=True) for beat in (*beats([row]), *fault)]
    await _check(dut, p, good, beats=sent, seed=4, without_bubbles=["affine"])
    assert int(dut.errors.value) == BlockError.EMPTY | BlockError.LONG


@cocotb.test()
async def drops_a_gamma_that_is_too_long(dut: Any) -> None:
    rng, p = random.Random(6), _parameter_sets(random.Random(1))[0]
    if FIXED is None:
        set_parameters(dut, CIRCUIT.record, p)
    dut.clear.value = 0
    dut.reload.value = 0
    rows = _rows(rng, [LONGEST, 3])
    too_long = np.concatenate([p.gamma, p.gamma[: LANES + 1]])
    output = [layernorm(row, _shortened(p, len(row)), OUT) for row in rows]
    await check_streams(
        dut,
        inputs={"affine": to_beats([too_long, p.gamma, p.beta], LANES), "i": to_beats(rows, LANES, element_bits=SOURCE.bits)},
        outputs={"o": to_beats(output, LANES, element_bits=OUT.bits)},
        meaning={"o": lambda beat: kept(beat, LANES, OUT.bits)},
        seed=7,
        without_bubbles=["affine"],
    )
    assert int(dut.errors.value) == BlockError.LONG
