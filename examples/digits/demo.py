"""From the quantized digits network to its Verilog, run on every test image: `nox -s demo`, or `python -m examples.digits.demo [FOLDER]`.

Exits with 1 if the hardware differs from the integer executor anywhere, or an accuracy is below what the network is known to reach.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from celosia.gen.project import VERILOG, build_simulator, write_project
from celosia.rtl.arch.steps import Engine
from celosia.rtl.arch.targets import TARGETS
from celosia.sw import compile_model, open_device
from celosia.sw.compiler.program import Program
from celosia.sw.executor import execute
from celosia.sw.manifest import PROGRAM
from celosia.sw.report import write_report
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from .data import load_split
from .quantize import FLOAT_MODEL, QDQ_MODEL, accuracy

FOLDER = Path(__file__).parents[2] / "build" / "digits"
TARGET = "medium"
LEAST_FLOAT, MOST_LOST = 0.97, 0.01  # accuracy
console = Console()


def run_hardware(folder: Path, images: NDArray) -> tuple[NDArray, dict[str, int], float]:
    """The output's integers for each image, the counters of the last run, and simulated cycles per second of the runs."""
    results = []
    with open_device(folder) as network:
        network.upload()
        name = network.manifest.outputs[0].port.name
        cycles, seconds = network.device.cycles, 0.0
        for image in track(images, "hardware, simulated", console=console, transient=True):
            start = time.perf_counter()
            results.append(network.run_integers(image[None])[name])
            seconds += time.perf_counter() - start
        return np.stack(results), network.counters(), (network.device.cycles - cycles) / seconds


def run_executor(program: Program, images: NDArray) -> NDArray:
    """The output's integers for each image, from the golden models."""
    graph, lanes = program.graph, program.parameters.lanes
    source, result = graph.inputs[0].name, graph.outputs[0].tensor.name
    progress = track(images, "integer executor", console=console, transient=True)
    return np.stack([execute(graph, {source: image[None]}, lanes=lanes)[result] for image in progress])


def share_correct(integers: NDArray, labels: NDArray) -> float:
    return float((integers.reshape(len(labels), -1).argmax(axis=1) == labels).mean())


def accuracy_table(accuracies: Mapping[str, float], count: int) -> Table:
    table = Table("network", "correct", title=f"{count} test images")
    for name, value in accuracies.items():
        table.add_row(name, f"{value:.2%}")
    return table


def cycles_table(counters: Mapping[str, int], macs: int, peak: int) -> Table:
    """Where the cycles of one image go."""
    cycles, busy = counters["cycles"], counters["compute_busy"]
    table = Table("per image", "cycles", "share", title=f"{macs:,} multiply-accumulates an image, at most {peak} a cycle")
    table.add_row("run", f"{cycles:,}", "")
    for engine in Engine:
        name = engine.name.lower()
        table.add_row(f"{name} engine busy", f"{counters[f'{name}_busy']:,}", f"{counters[f'{name}_busy'] / cycles:.1%}")
    table.add_section()
    table.add_row("peak MACs used, in all", "", f"{macs / (cycles * peak):.1%}")
    table.add_row("peak MACs used while the compute engine is busy", "", f"{macs / (busy * peak):.1%}")
    return table


def main(folder: Path) -> int:
    with console.status("compiling, writing Verilog"):
        program = compile_model(QDQ_MODEL, TARGETS[TARGET])
        write_project(program, folder)
    with console.status("building the simulator (a minute or two)"):
        build_simulator(folder)
    images, labels = load_split("test")
    with console.status("ONNX Runtime"):
        accuracies = {"float, ONNX Runtime": accuracy(FLOAT_MODEL), "quantized, ONNX Runtime": accuracy(QDQ_MODEL)}
    expected = run_executor(program, images)
    found, counters, speed = run_hardware(folder, images)
    with open_device(folder) as network:
        report = write_report(network, folder / "report.html")
    image = folder / "image.npy"
    np.save(image, images[:1])

    accuracies |= {"quantized, integer executor": share_correct(expected, labels), "quantized, hardware": share_correct(found, labels)}
    different = int((found != expected).sum())
    console.print(accuracy_table(accuracies, len(images)))
    console.print(cycles_table(counters, program.graph.macs(), program.parameters.peak_macs))
    console.print(f"{different} of {found.size} outputs differ between hardware and integer executor")
    console.print(f"{speed:,.0f} cycles simulated per second")
    command = f"{Path(sys.executable).with_name('celosia')} run {folder} --input {image}"
    waveform = f"{command} --waveform {folder / 'wave.fst'} --cycles 0:20000"
    for name, text in (("Verilog", folder / VERILOG), ("program", folder / PROGRAM), ("report", report), ("waveform", waveform)):
        console.print(f"{name:8} {text}", soft_wrap=True, highlight=False)

    exact, hardware = accuracies["float, ONNX Runtime"], accuracies["quantized, hardware"]
    failures = {
        "hardware and integer executor differ": different > 0,
        f"the float network is below {LEAST_FLOAT:.0%}": exact < LEAST_FLOAT,
        "the hardware is more than 1 point below the float network": hardware < exact - MOST_LOST,
    }
    for text in (text for text, failed in failures.items() if failed):
        console.print(f"[red]{text}")
    return int(any(failures.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
