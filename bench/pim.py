"""Decoding GPTs with DRAM that computes: `nox -s bench_pim` writes the tables and the picture of docs/pim.md.

The parts of a layer are simulated on the controller, Verilated, at small sizes, and the model's cycles held against that; whole networks
are the model's.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from celosia.gen.pages import write_section
from celosia.rtl.arch.dram import MODE_FORMAT, POSTPONED_REFRESHES, PRESETS, Command, Dram, NumberFormat
from celosia.rtl.arch.pim import Macro
from celosia.sw.pim import phases
from celosia.sw.pim.decoding import DRAM_MHZ, Accelerator, DecodingModel
from celosia.sw.pim.energy import Energies, bank_columns, bus_bytes, energy, rows_opened
from celosia.sw.pim.mapping import Macros, MatrixMap, outputs
from celosia.sw.pim.models import MODELS, Model
from celosia.sw.pim.phases import phase, with_refreshes
from celosia.tb.pim_bench import PimBench
from celosia.tb.pim_layers import parts, simulate
from matplotlib import pyplot as plt
from rich.progress import track

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "docs" / "pim.md", ROOT / "docs" / "pim.svg"
LENGTHS = 1, 128, 1024
AIM = PRESETS["aim"]
SIMULATED = replace(AIM, channels=2)
CHANNELS = 4, 8, 16
SMALLEST, PICTURED = "GPT-2 small", "GPT-2 medium"
PICTURED_COLUMNS = MODELS[PICTURED].width // AIM.column_bytes  # of a token's keys
LEAST_SHARE = 0.002  # that is drawn
COLOURS = [f"C{i}" for i in range(10)] + ["#444444", "#999999", "#cccccc"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Of tokens from none on. cycles: with refreshes; of parts: without. counts: of all channels' commands. columns: to and from the
    controller."""

    tokens: int
    cycles: float
    parts: Mapping[str, float]
    counts: Counter[Command]
    columns: int

    @property
    def per_second(self) -> float:
        return self.tokens * DRAM_MHZ * 1e6 / self.cycles


@cache
def run(model: Model, dram: Dram, mhz: int, tokens: int, *, split: bool = True) -> Run:
    decoder = DecodingModel(model=model, dram=dram, accelerator=Accelerator(mhz=mhz), split=split)
    spent: dict[str, float] = {}
    counts, columns = Counter[Command](), 0
    for position in range(tokens):
        token = decoder.token(position)
        spent = {part: spent.get(part, 0) + cycles for part, cycles in token.cycles.items()}
        counts.update(token.counts)
        columns += token.columns
    cycles = with_refreshes(dram, sum(spent.values()))
    return Run(tokens=tokens, cycles=cycles, parts=spent, counts=counts, columns=columns)


def table(*lines: tuple[str, ...]) -> str:
    """The first one is the header; numbers are right of the first column."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ("---", *["---:"] * (len(head) - 1)), *rest))


def reopened(of: Run, dram: Dram) -> float:
    """Times that a channel's rows are opened again behind refreshes, of all channels."""
    return dram.channels * of.cycles / dram.timing.refi / POSTPONED_REFRESHES


def row_hits(of: Run, dram: Dram) -> float:
    return 1 - (rows_opened(of.counts, dram) + dram.banks * reopened(of, dram)) / bank_columns(of.counts, dram)


def command_hits(of: Run, dram: Dram) -> float:
    columns = sum(of.counts[command] for command in (Command.RD, Command.WR, Command.MACA))
    return 1 - (of.counts[Command.ACT] + of.counts[Command.ACTA] + reopened(of, dram)) / columns


def joules(of: Run, dram: Dram) -> float:
    refreshes = dram.channels * of.cycles / dram.timing.refi
    return sum(energy(of.counts, dram, refreshes, Energies()).values()) / of.tokens


def busy(of: Run, dram: Dram) -> float:
    """The share of its cycles in which a bank multiplies."""
    return of.counts[Command.MACA] / dram.channels * dram.timing.ccd_l / of.cycles


def models() -> str:
    header = ("", *(f"tokens/s, {n:,}" for n in LENGTHS), "row hits", "of commands", "banks multiply", "weights, MB", "to and from, MB")
    lines = []
    for name, model in track(MODELS.items(), "models"):
        runs = [run(model, AIM, 1000, n) for n in LENGTHS]
        long = runs[-1]
        moved = long.columns * AIM.column_bytes / long.tokens / 1e6
        lines.append(
            (
                *(name, *(f"{each.per_second:,.0f}" for each in runs), f"{row_hits(long, AIM):.2%}", f"{command_hits(long, AIM):.1%}"),
                *(f"{busy(long, AIM):.1%}", f"{model.weights / 1e6:,.0f}", f"{moved:,.2f}"),
                *(f"{bus_bytes(long.counts, AIM) / long.tokens / 1e6:,.2f}", f"{1e3 * joules(long, AIM):,.1f}"),
            )
        )
    return table((*header, "on the channels' buses, MB", "mJ"), *lines)


def unsplit() -> str:
    lines = [("groups not split between rows", *(f"tokens/s, {n:,}" for n in LENGTHS), "row hits", "times tokens/s")]
    for name, model in track(MODELS.items(), "not split"):
        runs = [run(model, AIM, 1000, n, split=False) for n in LENGTHS]
        gain = runs[-1].per_second / run(model, AIM, 1000, LENGTHS[-1]).per_second
        lines.append((name, *(f"{each.per_second:,.0f}" for each in runs), f"{row_hits(runs[-1], AIM):.2%}", f"{gain:.2f}"))
    return table(*lines)


def slower(model: Model, tokens: int, channels: int) -> str:
    fast, slow = (run(model, replace(AIM, channels=channels), mhz, tokens).per_second for mhz in (1000, 100))
    return f"{slow / fast - 1:+.1%}"


def scaling() -> str:
    slow = *(f"100 MHz, {n:,}" for n in LENGTHS), "16 channels, 1,024"
    header = "", *slow, *(f"{n} channels" for n in CHANNELS), "4 to 8", "8 to 16", *PRESETS
    lines = []
    for name, model in track(MODELS.items(), "devices"):
        by_channels = [run(model, replace(AIM, channels=n), 1000, 1024).per_second for n in CHANNELS]
        steps = (f"{after / before:.2f}" for before, after in pairwise(by_channels))
        lines.append(
            (
                *(name, *(slower(model, n, AIM.channels) for n in LENGTHS), slower(model, 1024, 16)),
                *(*(f"{each:,.0f}" for each in by_channels), *steps),
                *(f"{run(model, dram, 1000, 1024).per_second:,.0f}" for dram in PRESETS.values()),
            )
        )
    return table(header, *lines)


def hits_elsewhere() -> str:
    def hits(name: str, dram: Dram) -> str:
        return f"{row_hits(run(MODELS[name], dram, 1000, 1024), dram):.2%}"

    by_preset = ", ".join(f"{name} {hits(PICTURED, dram)}" for name, dram in PRESETS.items())
    by_channels = ", ".join(f"{n} channels {hits(SMALLEST, replace(AIM, channels=n))}" for n in CHANNELS)
    return f"Row hits of {PICTURED} by preset: {by_preset}. Of {SMALLEST}: {by_channels}."


def command_cycles(macros: Macros, written: int) -> list[tuple[int, Command]]:
    """Cycle and command of channel 0, from the first one on."""
    with PimBench(SIMULATED, refresh=False) as bench:
        bench.macro(Macro.SET_MODE, mode=NumberFormat.INT8 << MODE_FORMAT)
        bench.finish()
        bench.record()
        bench.write(np.zeros((written, SIMULATED.column_bytes)))
        for macro, fields in macros:
            bench.macro(macro, **fields)
        bench.finish()
        found = [(int(c["cycle"]), Command(c["command"])) for c in bench.commands() if c["channel"] == 0]
    return [(cycle - found[0][0], command) for cycle, command in found]


def mac_rows(rows: int) -> Macros:
    return ((Macro.MAC_ALL, {"row": row, "column": 0, "buffer": 0, "count": 64}) for row in range(rows))


def whole_sum() -> Macros:
    yield Macro.WRITE_BUFFER, {"buffer": 0, "count": 64}
    yield Macro.WRITE_ACCUMULATORS, {}
    yield from mac_rows(1)
    yield Macro.READ_ACCUMULATORS, {}


def oracle() -> str:
    t = SIMULATED.timing
    by_rows = [command_cycles(mac_rows(rows), 0)[-1][0] + t.burst + 1 for rows in (1, 2)]
    last, _ = command_cycles(whole_sum(), 64 + SIMULATED.channels * SIMULATED.accumulator_columns)[-1]
    return table(
        ("without refresh, in simulation", "open simulator", "here"),
        ("64 columns in all banks", "185", str(by_rows[0])),
        ("each further row", "226", str(by_rows[1] - by_rows[0])),
        ("vector of 64 columns, start values, 64 columns in all banks, sums", "414", str(last + t.cl + t.burst)),
    )


def agreement() -> str:
    lines = []
    for part in parts(SIMULATED):
        cycles = simulate(SIMULATED, part)
        lines.append((part.name, f"{cycles:,}", f"{part.model.cycles:,}", f"{part.model.cycles / cycles - 1:+.2%}"))
    return table(("part", "simulated", "model", "error"), *lines)


def group_cycles(dram: Dram, k: int, *, split: bool = True, start_values: bool = True) -> float:
    """Of a product's group of outputs, on average."""
    macros = MatrixMap(dram=dram, m=64 * outputs(dram), k=k, split=split).macros()
    return phase(dram, (m for m in macros if start_values or m[0] is not Macro.WRITE_ACCUMULATORS)).cycles / 64


def limits() -> str:
    header = "a group of 128 outputs, by k, cycles", "MACs alone", "whole", "not split", "without start values", "switches of the mode free"
    lines: list[tuple[str, ...]] = [header]
    for k in (64, 768, 1024, 1280, 1600, 2048):
        free = replace(AIM, timing=replace(AIM.timing, mode=2))
        macs = -(-k // AIM.column_bytes) * AIM.timing.ccd_l
        found = group_cycles(AIM, k), group_cycles(AIM, k, split=False), group_cycles(AIM, k, start_values=False), group_cycles(free, k)
        lines.append((f"{k:,}", str(macs), *(f"{cycles:.0f}" for cycles in found)))
    return table(*lines)


def choice() -> str:
    """From how many tokens on attention is faster inside."""
    decoder = DecodingModel(model=MODELS[PICTURED], dram=AIM)
    of, columns = decoder.cache, PICTURED_COLUMNS
    kinds = {"scores": lambda n: phases.scores(of, n - 1), "weighted values": lambda n: phases.weighted(of, n)}
    found = {name: next(n for n in range(1, 1025) if phases.is_faster(inside(n), n * columns)) for name, inside in kinds.items()}
    weights = all(phases.is_faster(phases.product(matrix), matrix.m * matrix.chunks[-1][1]) for matrix in decoder.matrices.values())
    first = ", ".join(f"{name} from {n} tokens on" for name, n in found.items())
    return f"{PICTURED}, faster in the banks than fetched: {first}{', every product with weights' if weights else ''}."


def energies() -> str:
    long = run(MODELS[PICTURED], AIM, 1000, 1024)
    of = energy(long.counts, AIM, AIM.channels * long.cycles / AIM.timing.refi, Energies())
    shares = ", ".join(f"{name} {joules / sum(of.values()):.0%}" for name, joules in of.items())
    return f"Energy of {PICTURED}, by what it is spent on: {shares}."


def picture() -> None:
    """A token's time by part, over positions, for both clocks of the accelerator."""
    plt.rcParams |= {"svg.hashsalt": "celosia", "font.size": 9}
    figure, both = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    spent, positions = run(MODELS[PICTURED], AIM, 100, 1024).parts, range(0, 1024, 16)
    names = sorted((part for part, cycles in spent.items() if cycles > LEAST_SHARE * sum(spent.values())), key=lambda part: -spent[part])
    for axes, mhz in zip(both, (1000, 100), strict=True):
        decoder = DecodingModel(model=MODELS[PICTURED], dram=AIM, accelerator=Accelerator(mhz=mhz))
        tokens = [decoder.token(position).cycles for position in positions]
        axes.stackplot(positions, [[token[name] / DRAM_MHZ for token in tokens] for name in names], labels=names, colors=COLOURS)
        axes.set_title(f"{PICTURED}, accelerator at {mhz:,} MHz", fontsize=10)
        axes.set_xlabel("position")
        axes.set_xlim(0, positions[-1])
    both[0].set_ylabel("µs, without refreshes")
    handles, labels = both[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    sections = agreement(), oracle(), models(), unsplit(), scaling(), hits_elsewhere(), energies(), limits(), choice()
    picture()
    write_section(PAGE, "bench_pim", "\n\n".join(sections))


if __name__ == "__main__":
    main()
