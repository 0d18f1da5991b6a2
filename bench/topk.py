"""Cycles of the top-k engine, beside SpAtten's latency model: `nox -s bench` writes them to docs/blocks/topk.md."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from amaranth.sim import Simulator, SimulatorContext
from celosia.gen.pages import write_section
from celosia.rtl.arch.formats import INT16, UINT32
from celosia.rtl.arch.topk import TopKCircuit
from celosia.rtl.topk import TopK
from celosia.sw.golden.topk import topk
from numpy.typing import NDArray
from rich.progress import Progress

PAGE = Path(__file__).parents[1] / "docs" / "blocks" / "topk.md"
LANES = 16
ROWS = 20  # random ones, of which the mean is given
TRIALS = 4000  # of SpAtten's model
SIZES = [(64, 32), (256, 128), (1024, 32), (1024, 128), (1024, 512), (4096, 32)]
Scores = NDArray[np.int64]
LEGEND = f"""
{LANES} lanes, {INT16}, simulated. "After the row": cycles from its last score to its last result; "in all": from its first score. Means of
{ROWS} rows of random scores. SpAtten: the mean of {TRIALS} runs of the latency model of its quick-select with as many comparators
(arXiv 2012.09852; for each round what is left, divided by {LANES}, and 3 cycles, with a random pivot; without filling and draining). It was
not measured on hardware here.
"""
ORDER_LEGEND = """
Rows of 1,024 scores in other orders, k = 128: cycles in all, and how many times those of the random rows. "Digit by digit": for each digit
one score lacks it, so that no pass leaves fewer.
"""


def cycles(circuit: TopKCircuit, rows: list[Scores], k: int) -> tuple[list[int], list[int]]:
    """Of each row, which come one after the other: after its last score, and in all. The results must be the golden model's."""
    block, after, whole, found = TopK(circuit), list[int](), list[int](), list[int]()
    lanes = circuit.lanes

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(block.parameters.k, k)
        ctx.set(block.o.ready, 1)
        for row in rows:
            beats, now, first, last = [row[i : i + lanes] for i in range(0, len(row), lanes)], 0, None, 0
            found.clear()
            while True:
                if beats:
                    values = [*beats[0].tolist(), *[0] * (lanes - len(beats[0]))]
                    ctx.set(block.i.payload, {"values": values, "keep": (1 << len(beats[0])) - 1, "last": len(beats) == 1})
                ctx.set(block.i.valid, bool(beats))
                _, _, taken, comes, beat = await ctx.tick().sample(block.i.ready & block.i.valid, block.o.valid, block.o.payload)
                if taken:
                    first, last = now if first is None else first, now
                    del beats[0]
                if comes:
                    found.extend(beat.values[lane] for lane in range(lanes) if beat.keep >> lane & 1)
                    if beat.last:
                        break
                now += 1
            assert found == topk(row, k).tolist(), "not the golden model's"
            after.append(now - last)
            whole.append(now - (first or 0) + 1)

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return after, whole


def quick_select(n: int, k: int, rng: np.random.Generator) -> int:
    """Cycles of SpAtten's rounds, for n different scores."""
    left, wanted, total = n, k, 0
    while left:
        total += -(-left // LANES) + 3
        above = int(rng.integers(left))  # the pivot, chosen at random, is the (above + 1)-th largest
        if above + 1 == wanted:
            break
        left, wanted = (above, wanted) if wanted <= above else (left - above - 1, wanted - above - 1)
    return total


def random_lines(rng: np.random.Generator, progress: Progress) -> list[str]:
    lines = ["| n | k | after the row | in all | SpAtten's model |", "|---:|---:|---:|---:|---:|"]
    for n, k in progress.track(SIZES, description="random scores"):
        rows = [rng.integers(INT16.min, INT16.max + 1, n) for _ in range(ROWS)]
        after, whole = cycles(TopKCircuit(lanes=LANES, row_elements=n), rows, k)
        model = np.mean([quick_select(n, k, rng) for _ in range(TRIALS)])
        lines.append(f"| {n:,} | {k} | {np.mean(after):.0f} | {np.mean(whole):.0f} | {model:.0f} |")
    return lines


def digit_by_digit(n: int) -> Scores:
    """All ones but for one score that lacks each digit."""
    scores = np.full(n, UINT32.max)
    scores[:8] -= 1 << 4 * np.arange(8)
    return scores


ORDERS: Mapping[str, Callable[[Scores], Scores]] = {
    "random": lambda scores: scores,
    "rising": np.sort,
    "falling": lambda scores: np.sort(scores)[::-1],
    "organ pipe": lambda scores: np.concatenate([np.sort(scores)[::2], np.sort(scores)[1::2][::-1]]),
    "constant": lambda scores: np.full_like(scores, scores[0]),
    "small numbers": lambda scores: scores >> 24,
    "digit by digit": lambda scores: digit_by_digit(len(scores)),
}


def order_lines(rng: np.random.Generator, progress: Progress) -> list[str]:
    circuit = TopKCircuit(lanes=LANES, row_elements=1024, source=UINT32)
    rows = [rng.integers(0, UINT32.max + 1, 1024) for _ in range(ROWS)]
    lines, usual = [f"| order, {UINT32} | in all | times random |", "|---|---:|---:|"], None
    for name, order in progress.track(ORDERS.items(), description="orders"):
        mean = np.mean(cycles(circuit, [order(row) for row in (rows if name == "random" else rows[:2])], 128)[1])
        usual = usual or mean
        lines.append(f"| {name} | {mean:.0f} | {mean / usual:.2f} |")
    return lines


def main() -> None:
    rng = np.random.default_rng(1)
    with Progress() as progress:
        write_section(PAGE, "bench", "\n".join([LEGEND, *random_lines(rng, progress), ORDER_LEGEND, *order_lines(rng, progress)]))


if __name__ == "__main__":
    main()
