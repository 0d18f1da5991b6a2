"""The example's language model on the simulated machine with a pim, a token at a time: `nox -s bench_pim` writes examples/gpt/README.md.

Every output of every token must be the integer executor's for the whole sequence. Beside it a machine of the same size without a pim, which
keeps no keys and values, and runs the whole window for every token.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from celosia.gen.pages import write_section
from celosia.gen.project import build_simulator, write_project
from celosia.rtl.arch.parameters import NO_PIM, MachineParameters
from celosia.rtl.arch.targets import DEFAULT_TARGET, TARGETS
from celosia.sw import compile_model, open_device
from celosia.sw.driver.decoder import Decoder
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.pim.energy import bank_columns, rows_opened
from numpy.typing import NDArray
from rich.progress import track

from examples.gpt.quantize import CONTEXT, QDQ_MODEL
from examples.gpt.text import HERE, encode, read_part

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "pim_machine"
MACHINE = replace(TARGETS[DEFAULT_TARGET], pruning=1, pim="aim", pim_channels=2)
SHOWN = (1, 2, 32, 64, 96, 128)  # tokens
LEGEND = """
The network decoded by a machine with a pim ({machine}), simulated with its DRAM and a referee of every command: {context} characters of
`test.txt`, one after the other, through the driver. All outputs of all of them are the integer executor's, number for number. Cycles of the
machine, of which one is one of the DRAM's command clock; of these, how many the engines were at work. Engines are at work side by side.

| token | cycles | PIM engine | vector engine | loads and stores | predicted |
|---:|---:|---:|---:|---:|---:|
{rows}
| mean | {mean:,} | {parts} | |

Of the columns that banks read or wrote {hits:.1%} found their row open. Weights were written to the DRAM once, in {upload:,} cycles. The
same machine without a pim, which keeps no keys and values, runs the whole window of {context} characters in {window:,} cycles, whatever is
new in it: {factor:.0f} times as many as a token takes here.
"""


def window() -> NDArray[np.int64]:
    """[1, CONTEXT] tokens."""
    return encode(read_part("test")[:CONTEXT])[None]


def folder(machine: MachineParameters) -> Path:
    """The network compiled for it, with its simulator."""
    path = BUILD / machine.pim
    write_project(compile_model(QDQ_MODEL, machine), path)
    build_simulator(path)
    return path


def expected() -> Mapping[str, NDArray]:
    """The executor's outputs, without the batch."""
    graph = import_model(QDQ_MODEL)
    values = execute(graph, {"tokens": window()}, lanes=MACHINE.lanes)
    return {port.name: dequantize_output(port, values[port.tensor.name])[0] for port in graph.outputs}


def decoded(path: Path) -> tuple[list[Mapping[str, int]], int, float]:
    """Counters of each token's run, the cycles of the upload, and the share of row hits."""
    wanted, found = expected(), list[Mapping[str, int]]()
    with Decoder(open_device(path)) as decoder:
        device = decoder.network.device
        assert isinstance(device, VerilatedDevice)
        assert MACHINE.dram
        decoder.network.upload()
        upload, before = device.cycles, dict(device.dram_counts())
        for place, token in enumerate(track(window()[0].tolist(), "tokens")):
            outputs = decoder.step(token)
            for name, values in wanted.items():
                assert np.array_equal(outputs[name].reshape(values[place].shape), values[place]), f"token {place}: {name}"
            found.append(decoder.network.counters())
        counts = {command: count - before.get(command, 0) for command, count in device.dram_counts().items()}
        hits = 1 - rows_opened(counts, MACHINE.dram) / bank_columns(counts, MACHINE.dram)
    return found, upload, hits


def whole_window(path: Path) -> int:
    """Cycles of the network without a cache."""
    with open_device(path) as network:
        network.run(window())
        return network.counters()["cycles"]


def main() -> None:
    path = folder(MACHINE)
    runs, upload, hits = decoded(path)
    last = compile_model(QDQ_MODEL, MACHINE).cycles

    def parts(run: Mapping[str, float]) -> list[str]:
        return [f"{run[name]:,.0f}" for name in ("pim_busy", "vector_busy")] + [f"{run['load_busy'] + run['store_busy']:,.0f}"]

    mean = {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}
    rows = [
        " | ".join([f"| {n}", f"{runs[n - 1]['cycles']:,}", *parts(runs[n - 1]), f"{last:,} |" if n == CONTEXT else "|"]) for n in SHOWN
    ]
    whole = whole_window(folder(replace(MACHINE, pim=NO_PIM)))
    about = f"{MACHINE.arrays} MACs, {MACHINE.lanes} lanes, `{MACHINE.pim}` with {MACHINE.pim_channels} channels"
    text = LEGEND.format(
        **{"machine": about, "context": CONTEXT, "rows": "\n".join(rows), "mean": round(mean["cycles"]), "parts": " | ".join(parts(mean))},
        **{"hits": hits, "upload": upload, "window": whole, "factor": whole / mean["cycles"]},
    )
    write_section(HERE / "README.md", "bench_pim", text)


if __name__ == "__main__":
    main()
