"""Networks on ULX3S, blocks on iCEBreaker: area and clock of their bitstreams. Writes tables of docs/boards.md.

python -m bench.bitstream [networks] [blocks]
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from celosia.boards import NETWORK_BOARDS, OPEN_BOARDS
from celosia.boards.bitstream import Report
from celosia.gen.blocks import BLOCKS
from celosia.gen.cli.common import stages
from celosia.gen.pages import write_section
from celosia.gen.rows import row_manifest
from celosia.gen.synthesis import Progress
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.targets import TARGETS
from celosia.sw import compile_model
from celosia.sw.manifest import Manifest
from rich.console import Console

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "boards.md"
_SMALL = MachineParameters(rows=4, cols=4, lanes=1, scratchpad_kib=16, banks=2, bus_bytes=4, transformer=0)
# Of a board a network of examples/ and its machine.
NETWORKS: Sequence[tuple[str, str, MachineParameters]] = (
    ("ulx3s-85f", "digits/digits_qdq", TARGETS["tiny"]),
    ("ulx3s-25f", "digits/perceptron_qdq", _SMALL),
    ("ulx3s-85f", "detector/plain_w8a8", replace(_SMALL, scratchpad_kib=64, banks=4, bus_bytes=8, pruning=1)),
)
KINDS = ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD")
BOARD = OPEN_BOARDS["icebreaker"]
BLOCK_KINDS = ("ICESTORM_LC", "ICESTORM_DSP", "ICESTORM_RAM", "ICESTORM_SPRAM")
ROWS = {"lanes": 1, "row_elements": 1024}
ON_BOARD: Sequence[tuple[str, Mapping[str, Any], Mapping[str, float]]] = (
    ("softmax", {**ROWS, "source": "int8", "out": "uint8"}, {"in_scale": 0.1}),
    ("softmax", {**ROWS, "source": "int16", "out": "uint8"}, {"in_scale": 0.001}),
    ("activation", {"lanes": 1, "source": "int8", "out": "int8"}, {"in_scale": 0.05, "out_scale": 0.05}),
    ("activation", {"lanes": 1, "source": "int16", "out": "int16"}, {"in_scale": 0.001, "out_scale": 0.001}),
)
console = Console(stderr=True)


def made(what: str, build: Callable[[Path, Progress], Report], kinds: Sequence[str]) -> tuple[Report, list[str]]:
    """The report, and the columns that all tables have."""
    with TemporaryDirectory() as folder, console.status(what) as status:
        report = build(Path(folder) / "out", stages(status, what))
    used = ["{:,} of {:,}".format(*report.used[kind]) if kind in report.used else "0" for kind in kinds]
    columns = [*used, f"{report.clock:.0f}", f"{report.achieved:.1f}"]
    console.print(what, *columns)
    return report, columns


def network_row(name: str, network: str, machine: MachineParameters) -> list[str]:
    program = compile_model(ROOT / "examples" / f"{network}.onnx", machine)
    board, manifest = NETWORK_BOARDS[name], Manifest.of(program, rom=False)
    report, columns = made(f"{network} on {name}", partial(board.build, manifest), KINDS)
    # The prediction is for a memory that gives a word in each cycle.
    sdram = board.chip_for(manifest) is not None
    memory, images = ("SDRAM", "not predicted") if sdram else ("blocks", f"{report.clock * 1e6 / program.cycles:,.0f}")
    return [name, network, f"{machine.rows} x {machine.cols}, {machine.lanes} lane", memory, *columns, images]


def block_row(name: str, parameters: Mapping[str, Any], scales: Mapping[str, float]) -> list[str]:
    block = BLOCKS[name]
    circuit = block.parameters.from_dict(parameters)
    component = block.make(circuit, *block.built_in(circuit, scales))
    manifest = row_manifest(name, circuit, scales, component)
    options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in {**parameters, **scales}.items())
    return [f"`{name} {options}`", *made(name, partial(BOARD.build_block, component, manifest), BLOCK_KINDS)[1]]


def write(section: str, head: Sequence[str], texts: int, rows: Sequence[Sequence[str]]) -> None:
    """texts: how many columns hold no figures."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * texts}{'---:|' * (len(head) - texts)}", *(f"| {' | '.join(row)} |" for row in rows)]
    write_section(PAGE, section, "\n".join(lines))


def main() -> None:
    chosen = sys.argv[1:] or ["networks", "blocks"]
    clocks = "MHz wanted", "reached"
    if "blocks" in chosen:
        write("bitstream_blocks", ("block", *BLOCK_KINDS, *clocks), 1, [block_row(*what) for what in ON_BOARD])
    if "networks" in chosen:
        head = ("board", "network", "machine", "memory", *KINDS, *clocks, "images a second of the machine alone, predicted")
        write("bitstream", head, 4, [network_row(*what) for what in NETWORKS])


if __name__ == "__main__":
    main()
