"""The rules of streams, checked on any block: docs/architecture.md has them in words."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .streams import Stalls, transfer

_PATTERNS = {
    "without stalls": Stalls(),
    "with slow inputs": Stalls(inputs=0.5),
    "with slow outputs": Stalls(outputs=0.5),
    "with ready after valid": Stalls(lazy=True),  # a block whose valid waits for ready never gives one
    "with stalls on all sides": Stalls(inputs=0.3, outputs=0.3),
    "with rare inputs": Stalls(inputs=0.9),
    "with rare outputs": Stalls(outputs=0.9, lazy=True),
}


async def check_streams(
    dut: Any,
    *,
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]],
    seed: int,
    meaning: Mapping[str, Callable[[int], int]] | None = None,
    without_bubbles: Collection[str] | None = None,
    limit: int | None = None,
) -> None:
    """Feed ``inputs`` under several patterns of stalls; each time the outputs must be ``outputs``, bit for bit and no more.

    inputs, outputs: payloads as unsigned bits, best those of several packets back to back.
    meaning: for an output, its payload with what doesn't matter set to what ``outputs`` has there.
    without_bubbles: streams, by default all, on which from the first to the last transfer none of the cycles is lost when
        nobody stalls.
    limit: cycles after which, in a run without stalls, a missing output is a fault.

    That no combinational path breaks the rules is for tb/paths.py to check.
    """
    limit = limit or 1000 + 20 * max(map(len, (*inputs.values(), *outputs.values())))
    for number, (name, stalls) in enumerate(_PATTERNS.items()):
        rate = (1 - stalls.inputs) * (1 - stalls.outputs) / (2 if stalls.lazy else 1)
        done = await transfer(
            dut,
            inputs=inputs,
            outputs={stream: len(payloads) for stream, payloads in outputs.items()},
            stalls=stalls,
            seed=seed + number,
            limit=int(2 * limit / rate),
        )
        for stream, payloads in outputs.items():
            found = map((meaning or {}).get(stream, int), done[stream].payloads)
            assert_equal(f"{name}: {stream}", [*found], payloads)
        if stalls == Stalls():
            lost = {stream: done[stream].bubbles for stream in (without_bubbles if without_bubbles is not None else done)}
            assert not any(lost.values()), f"{name}: cycles lost between the first and the last transfer: {lost}"


def assert_equal(name: str, got: Sequence[int], wanted: Sequence[int]) -> None:
    """Fail with the first difference."""
    for index, (a, b) in enumerate(zip(got, wanted, strict=False)):
        assert a == b, f"{name}: payload {index} is {a:#x}, not {b:#x}"
    assert len(got) == len(wanted), f"{name}: {len(got)} payloads came, not {len(wanted)}"
