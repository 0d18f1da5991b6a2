"""The k best of a stream are numpy's, of packets of every length, with elements left out, whatever stalls."""

import random
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.kbest import KBestCircuit
from ..sw.golden.kbest import kbest
from .beats import kept, to_beats
from .rules import check_streams
from .runner import parameters
from .streams import Stalls, transfer

CIRCUIT = KBestCircuit.from_dict(parameters()["circuit"])
LANES, SOURCE, K = CIRCUIT.lanes, CIRCUIT.source, CIRCUIT.k
RESULT_BITS = CIRCUIT.index_bits + SOURCE.bits


def _scores(rng: random.Random, n: int) -> NDArray[np.int64]:
    """Of the whole range, of few values, all equal, rising, falling."""
    low, high = SOURCE.min, SOURCE.max
    kinds = [
        lambda i: rng.randint(low, high),
        lambda i: rng.choice((low, low + 1, high)),
        lambda i: low,
        lambda i: min(low + i, high),
        lambda i: max(high - i, low),
    ]
    kind = rng.choice(kinds)
    return np.array([kind(i) for i in range(n)], np.int64)


def _input(rng: random.Random, scores: NDArray[np.int64], counts: NDArray[np.bool_]) -> list[int]:
    """Only those count for which ``counts`` says so."""
    beats = to_beats([scores], LANES, rng, element_bits=SOURCE.bits) or [1 << (SOURCE.bits + 1) * LANES]
    for number in range(len(beats)):
        for lane, element in enumerate(counts[number * LANES : (number + 1) * LANES]):
            beats[number] &= ~(int(not element) << SOURCE.bits * LANES + lane)
    return beats


def _output(scores: NDArray[np.int64], counts: NDArray[np.bool_]) -> list[int]:
    places = np.flatnonzero(counts)
    best = places[kbest(scores[places], K)]
    results = best % (1 << CIRCUIT.index_bits) | (scores[best] & (1 << SOURCE.bits) - 1) << CIRCUIT.index_bits
    return to_beats([results], 1, element_bits=RESULT_BITS) or [1 << RESULT_BITS + 1]


def _streams(rng: random.Random, sizes: Sequence[int], share: float) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Of packets of these sizes, of which a share of the elements counts."""
    i, o = list[int](), list[int]()
    for size in sizes:
        scores, counts = _scores(rng, size), np.array([rng.random() < share for _ in range(size)], bool)
        i += _input(rng, scores, counts)
        o += _output(scores, counts)
    return {"i": i}, {"o": o}


def _meaning(beat: int) -> int:
    return kept(beat, 1, RESULT_BITS)


@cocotb.test()
async def packets_of_every_length(dut: Any) -> None:
    """Back to back, from no element at all to several beats more than k."""
    rng = random.Random(1)
    for seed, share in enumerate((1, 0.5)):
        sizes = [0, 1, K - 1, K, K + 1, K + LANES, *rng.choices(range(K + 4 * LANES), k=30)]
        inputs, outputs = _streams(rng, sizes, share)
        limit = 200 + len(sizes) * K + len(inputs["i"])
        await check_streams(dut, inputs=inputs, outputs=outputs, meaning={"o": _meaning}, seed=seed, without_bubbles=[], limit=limit)


@cocotb.test()
async def takes_a_beat_in_every_cycle(dut: Any) -> None:
    """Of packets of at least k beats, even where the next one begins before the results of the last one are out."""
    rng = random.Random(2)
    inputs, outputs = _streams(rng, [LANES * beats for beat in range(4) for beats in (K, K + 1, 300, K, K)], 1)
    done = await transfer(dut, inputs=inputs, outputs={"o": len(outputs["o"])}, stalls=Stalls(), seed=1, limit=10 * len(inputs["i"]))
    assert [_meaning(beat) for beat in done["o"].payloads] == outputs["o"]
    assert done["i"].bubbles == 0


@cocotb.test()
async def begins_anew_after_a_reset(dut: Any) -> None:
    """Whatever of a packet was inside."""
    rng = random.Random(4)
    for cycles in range(30):
        await transfer(dut, inputs=_streams(rng, [40 * LANES], 1)[0], outputs={"o": 0}, stalls=Stalls(), seed=4, limit=100, spare=cycles)
        inputs, outputs = _streams(rng, [1, K], 1)
        done = await transfer(dut, inputs=inputs, outputs={"o": len(outputs["o"])}, stalls=Stalls(), seed=4, limit=500)
        assert [_meaning(beat) for beat in done["o"].payloads] == outputs["o"]


@cocotb.test(skip=CIRCUIT.index_bits > 8)
async def counts_beyond_the_width_of_an_index(dut: Any) -> None:
    """An index is what fits of an element's place."""
    rng = random.Random(3)
    inputs, outputs = _streams(rng, [700], 1)
    await check_streams(dut, inputs=inputs, outputs=outputs, meaning={"o": _meaning}, seed=3)
