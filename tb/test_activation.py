"""The activation block equals its golden model, and drops what it can't take."""

import random
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

import cocotb

from ..rtl.arch.activation import ActivationCircuit, Function
from ..rtl.arch.blocks import BlockError
from ..rtl.arch.formats import INT8, MAX_SHIFT, Format
from ..sw.golden.activation import ActivationParameters, ActivationTable, activation
from .beats import Rows, kept, lengths, random_rows, set_parameters, to_beats
from .rules import assert_equal, check_streams
from .runner import parameters
from .streams import cycle, edge, reset

CASE = parameters()
CIRCUIT = ActivationCircuit(
    lanes=CASE["lanes"], function=Function(CASE["function"]), source=Format(*CASE["source"]), out=Format(*CASE["out"]), error=CASE["error"]
)
Values = ActivationTable | ActivationParameters

LANES, SOURCE, OUT = CIRCUIT.lanes, CIRCUIT.source, CIRCUIT.out
VALUES = (ActivationTable if CIRCUIT.tabulated else ActivationParameters).from_scales(CIRCUIT, **CASE["scales"])
RUN_TIME = not CASE["fixed"]


def _extreme(rng: random.Random) -> Values:
    """Anything that a table or the fields hold."""
    if CIRCUIT.tabulated:
        return ActivationTable(tuple(rng.randint(OUT.min, OUT.max) for _ in range(256)))
    in_bits, out_bits = CIRCUIT.multiplier_bits
    in_zero_point, out_zero_point = (rng.choice((-32768, rng.randint(-32768, 32767), 32767)) for _ in range(2))
    low, high = sorted(rng.randint(OUT.min - OUT.offset, OUT.max - OUT.offset) for _ in range(2))
    return ActivationParameters(
        in_zero_point=in_zero_point,
        in_multiplier=rng.choice((1, (1 << in_bits) - 1)),
        in_shift=rng.choice((0, 20, 30, MAX_SHIFT)),
        out_multiplier=rng.choice((1, (1 << out_bits) - 1)),
        out_shift=rng.choice((0, 20, 30, MAX_SHIFT)),
        out_zero_point=out_zero_point,
        low=low,
        high=high,
    )


def _inputs(beats: Sequence[int], values: Values) -> dict[str, Sequence[int]]:
    entries = [entry & ((1 << OUT.bits) - 1) for entry in values.entries] if isinstance(values, ActivationTable) else []
    return {"i": beats, **({"entries": entries} if entries and RUN_TIME else {})}


def _results(rows: Rows, values: Values) -> list[int]:
    return to_beats([activation(row, values, CIRCUIT) for row in rows], LANES, element_bits=OUT.bits)


async def _check(dut: Any, beats: Sequence[int], results: Sequence[int], values: Values, *, seed: int, drops: bool = False) -> None:
    if isinstance(values, ActivationParameters) and RUN_TIME:
        set_parameters(dut, CIRCUIT.record, values)
    await check_streams(
        dut,
        inputs=_inputs(beats, values),
        outputs={"o": results},
        meaning={"o": lambda beat: kept(beat, LANES, OUT.bits)},
        seed=seed,
        without_bubbles=["i"] if drops else None,  # what is dropped leaves a gap
    )


def _idle(dut: Any) -> None:
    dut.clear.value = 0
    if RUN_TIME and CIRCUIT.tabulated:
        dut.reload.value = 0


async def _pass(dut: Any, inputs: dict[str, Sequence[int]]) -> list[int]:
    """Without a reset: what comes out when nobody stalls."""
    results, left = [], {name: [*payloads] for name, payloads in inputs.items()}
    dut.o__ready.value = 1
    for _ in range(100 + 2 * sum(map(len, inputs.values()))):
        for name, payloads in left.items():
            getattr(dut, f"{name}__valid").value = bool(payloads)
            getattr(dut, f"{name}__payload").value = payloads[0] if payloads else 0
        await cycle(dut)
        for name, payloads in left.items():
            if payloads and getattr(dut, f"{name}__ready").value:
                payloads.pop(0)
        if dut.o__valid.value:
            results.append(kept(int(dut.o__payload.value), LANES, OUT.bits))
        await edge(dut)
    assert not any(left.values())
    return results


@cocotb.test()
async def equals_the_model(dut: Any) -> None:
    rng = random.Random(1)
    _idle(dut)
    for seed, values in enumerate((VALUES, _extreme(rng), _extreme(rng), _extreme(rng)) if RUN_TIME else (VALUES,)):
        rows = random_rows(rng, lengths(LANES, 5 * LANES + 1), SOURCE.bits)
        beats = to_beats(rows, LANES, rng, element_bits=SOURCE.bits)
        await _check(dut, beats, _results(rows, values), values, seed=seed)
        assert dut.errors.value == 0


@cocotb.test()
async def drops_packets_without_elements(dut: Any) -> None:
    rng = random.Random(2)
    _idle(dut)
    empty = 1 << (SOURCE.bits + 1) * LANES  # last, and nothing kept
    rows = random_rows(rng, [1, 3 * LANES, LANES, 1], SOURCE.bits)
    packets = [to_beats([row], LANES, rng, element_bits=SOURCE.bits) for row in rows]
    results = [_results([row], VALUES) for row in rows]
    # The end of a longer packet may hold nothing.
    packets[1][-1:] = [packets[1][-1] & ~empty, empty]
    results[1][-1:] = [results[1][-1] & ~(1 << (OUT.bits + 1) * LANES), 1 << (OUT.bits + 1) * LANES]
    beats = [empty, *packets[0], empty, empty, *packets[1], empty, *packets[2], *packets[3], empty]
    await _check(dut, beats, [*chain(*results)], VALUES, seed=3, drops=True)
    assert dut.errors.value == BlockError.EMPTY
    dut.clear.value = 1
    await cycle(dut)
    await edge(dut)
    dut.clear.value = 0
    assert_equal("the next packets", await _pass(dut, {"i": beats[1:-1]}), [*chain(*results)])
    assert dut.errors.value == BlockError.EMPTY


@cocotb.test(skip=CIRCUIT.tabulated or not RUN_TIME)
async def drops_packets_without_a_scale(dut: Any) -> None:
    _idle(dut)
    assert isinstance(VALUES, ActivationParameters)
    rng = random.Random(3)
    rows = random_rows(rng, lengths(LANES, 3 * LANES), SOURCE.bits)
    beats = to_beats(rows, LANES, rng, element_bits=SOURCE.bits)
    await reset(dut)
    for name in ("in_multiplier", "out_multiplier"):
        set_parameters(dut, CIRCUIT.record, ActivationParameters(**(asdict(VALUES) | {name: 0})))
        assert_equal(name, await _pass(dut, {"i": beats}), [])
        assert dut.errors.value == BlockError.PARAMETER
        set_parameters(dut, CIRCUIT.record, VALUES)
        assert_equal("the next packets", await _pass(dut, {"i": beats}), _results(rows, VALUES))


@cocotb.test(skip=not (CIRCUIT.tabulated and RUN_TIME))
async def takes_another_table(dut: Any) -> None:
    _idle(dut)
    rng = random.Random(4)
    rows = random_rows(rng, lengths(LANES, 3 * LANES), INT8.bits)
    beats = to_beats(rows, LANES, rng, element_bits=SOURCE.bits)
    await reset(dut)
    for values in (VALUES, _extreme(rng)):
        assert_equal("results", await _pass(dut, _inputs(beats, values)), _results(rows, values))
        dut.reload.value = 1
        await cycle(dut)
        await edge(dut)
        dut.reload.value = 0
