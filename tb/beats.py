"""Rows of elements as beats: payloads of rtl/elements.beat_layout."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.record import Record
from .rules import check_streams

Rows = Sequence[NDArray[np.int64]]
ELEMENT_BITS = 16


def to_beats(rows: Rows, lanes: int, noise: random.Random | None = None, *, element_bits: int = ELEMENT_BITS) -> list[int]:
    """Each row as beats of ``lanes`` elements; the elements that its last beat lacks are zero, or noise."""
    beats, mask = [], (1 << element_bits) - 1
    for row in rows:
        for start in range(0, len(row), lanes):
            values = [int(v) for v in row[start : start + lanes]]
            keep, last = (1 << len(values)) - 1, start + lanes >= len(row)
            values += [noise.getrandbits(element_bits) if noise else 0] * (lanes - len(values))
            packed = sum((v & mask) << (element_bits * i) for i, v in enumerate(values))
            beats.append(packed | keep << (element_bits * lanes) | last << ((element_bits + 1) * lanes))
    return beats


def kept(beat: int, lanes: int, element_bits: int = ELEMENT_BITS) -> int:
    """The beat with the elements that mean nothing set to zero."""
    for i in range(lanes):
        if not beat >> (element_bits * lanes + i) & 1:
            beat &= ~(((1 << element_bits) - 1) << (element_bits * i))
    return beat


def set_parameters(dut: Any, record: Record, parameters: object) -> None:
    """Give the block its run-time parameters, from the golden model's."""
    dut.parameters.value = record.pack({field.name: getattr(parameters, field.name) for field in record.fields})


def lengths(lanes: int, longest: int) -> list[int]:
    """Lengths of rows, back to back: one element, full and ragged last beats, the longest possible."""
    return [1, longest, 1, 1, lanes, lanes + 1, longest - 1, 2 * lanes + 1]


def random_rows(rng: random.Random, sizes: Sequence[int], bits: int = ELEMENT_BITS) -> Rows:
    """Rows of signed integers: of the whole range, of few values, and of the two extremes."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    kinds = [lambda: rng.randint(low, high), lambda: rng.randint(-3, 3), lambda: rng.choice((low, high)), lambda: high]
    return [np.array([kind() for _ in range(size)], np.int64) for size in sizes for kind in [rng.choice(kinds)]]


async def check_rows(
    dut: Any,
    *,
    lanes: int,
    inputs: Mapping[str, Rows],
    output: Rows,
    seed: int,
    without_bubbles: Sequence[str] | None = None,
    in_bits: int = ELEMENT_BITS,
    out_bits: int = ELEMENT_BITS,
) -> None:
    """tb/rules.check_streams for a block from rows to rows, of elements of ``in_bits`` and ``out_bits`` bits."""
    rng = random.Random(seed)
    await check_streams(
        dut,
        inputs={name: to_beats(rows, lanes, rng, element_bits=in_bits) for name, rows in inputs.items()},
        outputs={"o": to_beats(output, lanes, element_bits=out_bits)},
        meaning={"o": lambda beat: kept(beat, lanes, out_bits)},
        seed=seed,
        without_bubbles=without_bubbles,
    )
