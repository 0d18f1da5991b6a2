"""Simulated cycles per second, and cycles per image of the digits network on each target: `nox -s bench` writes docs/bench.md."""

import hashlib
import statistics
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.rtl.arch.targets import DEFAULT_TARGET, TARGETS
from celosia.sw import compile_model, open_device
from numpy.typing import NDArray
from rich.progress import Progress

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "digits" / "digits_qdq.onnx"
BUILD = ROOT / "build" / "bench"
LATENCIES = 1, 20, 100  # cycles of a memory access
SOURCES = "memory", "rom"  # of the program
REPEATS, RUNS = 7, 40  # of the speed's measurement; the network's runs in each
HASHED = 1 << 26  # bytes
GOAL = 200_000  # cycles per second


def calibration() -> float:
    """Bytes that one core hashes in a second: BLAKE2b, for which no processor has an instruction."""
    data = bytes(HASHED)
    start = time.perf_counter()
    hashlib.blake2b(data).digest()
    return HASHED / (time.perf_counter() - start)


def make(target: str, source: str, optimise: Literal["-O1", "-O3"]) -> tuple[Path, Path]:
    """The compiled network's folder, and its simulator, which is kept for the next time."""
    folder = BUILD / f"{target}-{source}"
    write_project(compile_model(MODEL, TARGETS[target]), folder, rom=source == "rom")
    return folder, build_library(folder / VERILOG, TOP, BUILD / "simulators", optimise=optimise)


def cycles_per_image(folder: Path, library: Path, latency: int, image: NDArray) -> int:
    with open_device(folder, library=library, latency=latency) as network:
        network.run(image)
        return network.counters()["cycles"]


def speeds(folder: Path, library: Path, image: NDArray) -> list[tuple[float, float]]:
    """Cycles simulated per second, with the driver's own time, and bytes hashed per second just before; one pair for each repeat."""
    result = []
    with open_device(folder, library=library) as network:
        network.run(image)
        for _ in range(REPEATS):
            hashed = calibration()
            cycles, start = network.device.cycles, time.perf_counter()
            for _ in range(RUNS):
                network.run(image)
            result.append(((network.device.cycles - cycles) / (time.perf_counter() - start), hashed))
    return result


def speed_lines(measured: list[tuple[float, float]]) -> list[str]:
    low, *_, high = sorted(speed for speed, _ in measured)
    median = statistics.median(speed for speed, _ in measured)
    ratio = statistics.median(1000 * speed / hashed for speed, hashed in measured)
    return [
        f"Target {DEFAULT_TARGET}, program in memory, one core: **{median:,.0f} cycles per second** (median of {REPEATS} measurements of",
        f"{RUNS} images; lowest {low:,.0f}, highest {high:,.0f}; goal {GOAL:,}). The driver's time is included.",
        "",
        "To compare with another machine: that is "
        f"{ratio:.2f} cycles for every 1,000 bytes that the same core hashes with BLAKE2b, measured just before.",
    ]


def main(page: Path) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(1).random((1, 1, 8, 8), np.float32)  # cycles do not depend on the data
    table = ["| target | MACs | program in | " + " | ".join(f"latency {n}" for n in LATENCIES) + " | simulator built with |"]
    table.append("|---|---|---|" + "---:|" * len(LATENCIES) + "---|")
    speed: list[str] = []
    with Progress() as progress:
        for target in progress.track(TARGETS, description="targets"):
            for source in progress.track(SOURCES, description=f"{target}: program in memory, in a ROM"):
                measured = target == DEFAULT_TARGET and source == "memory"
                optimise = "-O3" if measured else "-O1"
                folder, library = make(target, source, optimise)
                counts = [f"{cycles_per_image(folder, library, latency, image):,}" for latency in LATENCIES]
                machine = TARGETS[target]
                table.append(f"| {target} | {machine.rows} x {machine.cols} | {source} | {' | '.join(counts)} | {optimise} |")
                if measured:
                    speed = speed_lines(speeds(folder, library, image))
    lines = ["# Speed", "", "Written by `nox -s bench` (`bench/simulation_speed.py`): don't edit.", "", "## Simulation", "", *speed, ""]
    lines += ["## Cycles per image", "", "The digits network, by memory latency in cycles, at one bus beat per cycle.", "", *table, ""]
    page.write_text("\n".join(lines))
    print(f"{page} written")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "bench.md")
