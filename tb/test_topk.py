"""The top-k engine gives numpy's k largest, of every length with every k, whatever stalls, and drops malformed rows whole."""

import random
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.blocks import BlockError
from ..rtl.arch.topk import COUNT_BITS, INDEX_BITS, Result, TopKCircuit
from ..sw.golden.topk import topk
from .beats import Rows, kept, set_parameters, to_beats
from .rules import assert_equal, check_streams
from .runner import parameters
from .streams import Stalls, transfer

CIRCUIT = TopKCircuit.from_dict(parameters()["circuit"])
LONGEST: int = parameters()["longest"]  # with every k
LANES, SOURCE, RESULT = CIRCUIT.lanes, CIRCUIT.source, CIRCUIT.result
RESULT_BITS = {Result.INDICES: INDEX_BITS, Result.PAIRS: INDEX_BITS + SOURCE.bits, Result.MASK: 8}[RESULT]
STALLS = [Stalls(), Stalls(inputs=0.3, outputs=0.3), Stalls(outputs=0.7, lazy=True), Stalls(inputs=0.8), Stalls(outputs=0.5)]


def _scores(rng: random.Random, n: int) -> NDArray[np.int64]:
    """Of the whole range, of a few values, of those that differ in low or in high digits only, all equal, zero, rising, falling."""
    low, high, values = SOURCE.min, SOURCE.max, SOURCE.max - SOURCE.min + 1
    base = rng.randint(low, high - 3)
    kinds = [
        lambda i: rng.randint(low, high),
        lambda i: rng.choice((low, high, base)),
        lambda i: base + rng.randint(0, 3),
        lambda i: low + values // 4 * rng.randint(0, 3),
        lambda i: base,
        lambda i: 0,
        lambda i: low + i % values,
        lambda i: high - i % values,
        lambda i: low + min(i, n - 1 - i) % values,
    ]
    kind = rng.choice(kinds)
    return np.array([kind(i) for i in range(n)], np.int64)


def _results(row: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    chosen = topk(row, k)
    if RESULT is Result.MASK:
        return np.isin(np.arange(len(row)), chosen).astype(np.int64)
    return chosen if RESULT is Result.INDICES else chosen | (row[chosen] & (1 << SOURCE.bits) - 1) << INDEX_BITS


def _threshold(row: NDArray[np.int64], k: int) -> int:
    if k == 0 or k > len(row):
        return SOURCE.max if k == 0 else SOURCE.min
    return int(np.sort(row)[-k])


def _streams(rows: Rows, k: int, noise: random.Random) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """What goes in, and what comes out. With k = 0 a row's only beat is empty."""
    empty = [1 << (RESULT_BITS + 1) * LANES] if RESULT is not Result.MASK else []
    beats = [to_beats([result], LANES, element_bits=RESULT_BITS) or empty for result in (_results(row, k) for row in rows)]
    thresholds = {"threshold": [_threshold(row, k) & (1 << SOURCE.bits) - 1 for row in rows]} if RESULT is Result.MASK else {}
    return {"i": to_beats(rows, LANES, noise, element_bits=SOURCE.bits)}, {"o": [beat for row in beats for beat in row], **thresholds}


def _start(dut: Any, k: int) -> None:
    set_parameters(dut, CIRCUIT.record, SimpleNamespace(k=k))
    dut.clear.value = 0


def _meaning(beat: int) -> int:
    return kept(beat, LANES, RESULT_BITS)


async def _check(dut: Any, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]], stalls: Stalls, seed: int) -> None:
    counts = {name: len(payloads) for name, payloads in outputs.items()}
    done = await transfer(dut, inputs=inputs, outputs=counts, stalls=stalls, seed=seed, limit=2000 * (1 + len(inputs["i"])))
    for name, payloads in outputs.items():
        found = done[name].payloads
        assert_equal(name, [_meaning(beat) for beat in found] if name == "o" else found, payloads)


@cocotb.test()
async def every_length_and_k(dut: Any) -> None:
    """Row after row, k beyond the shorter ones by one."""
    rng = random.Random(1)
    for k in range(LONGEST + 1):
        _start(dut, k)
        rows = [_scores(rng, n) for n in range(max(1, k - 1), LONGEST + 1)]
        inputs, outputs = _streams(rows, k, rng)
        await _check(dut, inputs, outputs, STALLS[k % len(STALLS)], seed=k)
        assert int(dut.errors.value) == (BlockError.PARAMETER if k > 1 else 0)


@cocotb.test()
async def long_rows(dut: Any) -> None:
    """Of the longest possible, under every pattern of stalls."""
    rng = random.Random(2)
    for k in (0, 7, CIRCUIT.row_elements // 2, (1 << COUNT_BITS) - 1):
        _start(dut, k)
        inputs, outputs = _streams([_scores(rng, CIRCUIT.row_elements) for _ in range(2)], k, rng)
        await check_streams(dut, inputs=inputs, outputs=outputs, meaning={"o": _meaning}, seed=k, without_bubbles=[], limit=60_000)


@cocotb.test()
async def drops_malformed_rows(dut: Any) -> None:
    """Rows that are too long, without an element, or with gaps leave nothing behind but their error bits."""
    rng, longest, bits = random.Random(3), CIRCUIT.row_elements, SOURCE.bits
    _start(dut, 2)

    def beats(*sizes: int) -> list[int]:
        return to_beats([_scores(rng, size) for size in sizes], LANES, element_bits=bits)

    good = [_scores(rng, n) for n in (longest, 2, 5, longest, 3)]
    empty, gap = [1 << (bits + 1) * LANES], [beats(2 * LANES)[0] & ~(1 << bits * LANES), *beats(LANES)]
    bad = [beats(longest + 1), empty, gap, beats(3 * longest), []]
    _, outputs = _streams(good, 2, rng)
    sent = [beat for row, fault in zip(good, bad, strict=True) for beat in (*_streams([row], 2, rng)[0]["i"], *fault)]
    for seed, stalls in enumerate(STALLS):
        await _check(dut, {"i": sent}, outputs, stalls, seed=seed)
        assert int(dut.errors.value) == BlockError.EMPTY | BlockError.LONG
