"""From the quantized detector to its Verilog, run on test scenes: `python -m examples.detector.demo [FOLDER]`.

Exits with 1 if the hardware differs from the integer executor anywhere. The report in the folder draws what it found in the first scene.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from celosia.gen.project import build_simulator, write_project
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import compile_model, open_device
from celosia.sw.compiler.program import Program
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.report import write_report
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from .data import Scene, scenes
from .decode import OUTPUTS
from .evaluate import Detections, average_precision
from .quantize import qdq_model

FOLDER = Path(__file__).parents[2] / "build" / "detector"
MACHINE = MachineParameters(rows=16, cols=16, lanes=8, scratchpad_kib=256, residual=1, pruning=1, deform_kernel=3)
SCENES = 16
console = Console()


def run_hardware(folder: Path, examples: Sequence[Scene]) -> tuple[list[dict[str, NDArray]], int]:
    """The outputs' integers for each scene, and the cycles of the last run."""
    with open_device(folder) as network:
        network.upload()
        found = [network.run_integers(scene.image[None]) for scene in track(examples, "hardware, simulated", console=console)]
        return found, network.counters()["cycles"]


def run_executor(program: Program, examples: Sequence[Scene]) -> list[dict[str, NDArray]]:
    """The same from the golden models."""
    graph, lanes = program.graph, program.parameters.lanes
    runs = (execute(graph, {"image": scene.image[None]}, lanes=lanes) for scene in track(examples, "integer executor", console=console))
    return [{port.name: values[port.tensor.name] for port in graph.outputs} for values in runs]


def detections(program: Program, integers: dict[str, NDArray]) -> Detections:
    found = {port.name: dequantize_output(port, integers[port.name]) for port in program.graph.outputs}
    return Detections.of([found[name] for name in OUTPUTS])


def main(folder: Path) -> int:
    examples = scenes("test", SCENES)
    with console.status("compiling, writing Verilog, building the simulator (some minutes)"):
        program = compile_model(qdq_model("deformable", 4), MACHINE)
        write_project(program, folder)
        build_simulator(folder)
    found, cycles = run_hardware(folder, examples)
    expected = run_executor(program, examples)
    with open_device(folder) as network:
        report = write_report(network, folder / "report.html", inputs={"image": examples[0].image[None]})
    different = sum(int((a[name] != b[name]).sum()) for a, b in zip(found, expected, strict=True) for name in OUTPUTS)
    precision = average_precision([detections(program, integers) for integers in found], examples)
    macs, peak = program.graph.macs(), program.parameters.peak_macs
    console.print(f"{different} of {sum(np.size(x) for run in found for x in run.values())} outputs differ from the integer executor's")
    console.print(f"{cycles:,} cycles an image, {macs / (cycles * peak):.1%} of peak MACs; AP50 of {SCENES} scenes {precision:.1%}")
    console.print(f"report {report}", soft_wrap=True, highlight=False)
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
