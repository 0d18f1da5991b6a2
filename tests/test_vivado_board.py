"""The block design of a board without a processor, as its script makes it, Verilated: the cores that Vivado gets run a network over the
serial line. In place of Xilinx's clock and reset are wires."""

from pathlib import Path

import pytest
from celosia.boards import VIVADO_BOARDS
from celosia.boards.vivado.board import SCRIPT
from celosia.gen.simulation import compile_library
from celosia.rtl.arch.serial import SerialParameters
from celosia.sw import open_device
from celosia.sw.compiler.program import Program
from celosia.sw.manifest import Manifest
from celosia.tb import board
from celosia.tb.board import VerilatedBoard
from celosia.tb.runner import own_folder
from celosia.tb.terminal import terminal

from tests.small_network import check, small_program
from tests.vivado_cores import buses, cores, one, ports
from tests.vivado_script import Design

ARTY = VIVADO_BOARDS["arty-a7-35t"]
SERIAL = SerialParameters(clock=ARTY.clock)
# What drives nets from outside of the cores.
SOURCES = {
    **{"/clk100": "clk", "/reset": "~rst", "/rx": "rx", "clocks/clk_out1": "clk", "clocks/locked": "1'b1"},
    **{"resets/peripheral_reset": "rst"},
}


def joined(folder: Path) -> str:
    """Verilog of the design in a board's folder, its cores in it."""
    design, lines, verilog = Design.of((folder / SCRIPT).read_text()), [], []
    roots = {one(root, "name"): root for _, root in cores(folder)}
    pins: dict[str, str] = {}  # nets by whom they join
    for number, net in enumerate(design.nets):
        pins |= dict.fromkeys(net, f"net{number}")
        lines.append(f"wire net{number};")
        lines += [f"assign net{number} = {SOURCES[end]};" for end in net if end in SOURCES]
    lines += [f"assign {port[1:]} = {net};" for port, net in pins.items() if port == "/tx"]
    lines.append(f"assign lights = {{1'b0, {pins['/led2']}, {pins['/led1']}, {pins['/led0']}}};")
    for number, ends in enumerate(design.buses):
        for end in ends:
            cell, bus = end.split("/")
            for logical, physical in buses(roots[cell])[bus][1].items():
                pins[f"{cell}/{physical}"] = f"bus{number}_{logical}"
                if end == ends[0]:
                    lines.append(f"wire [{ports(roots[cell])[physical][1] - 1}:0] bus{number}_{logical};")
    for name, root in roots.items():
        connections = ", ".join(f".{pin}({pins.get(f'{name}/{pin}', '')})" for pin in ports(root))
        lines.append(f"{name} {name}_core({connections});")
        verilog.append((folder / "ip" / name / f"{name}.v").read_text())
    header = "module simulation(input clk, input rst, input rx, output tx, output [3:0] lights);"
    return "\n".join([header, "`default_nettype none", *lines, "endmodule", "`default_nettype wire", *verilog])


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return small_program(tmp_path_factory.mktemp("model"))


def test_a_network(program: Program, tmp_path: Path) -> None:
    manifest = Manifest.of(program, rom=False)
    manifest.save(tmp_path)
    ARTY.build(manifest, tmp_path / "arty")
    design = joined(tmp_path / "arty")
    sources = [Path(board.__file__).with_name(name) for name in ("board.cpp", "board.h")]
    with own_folder(design) as folder:
        library = compile_library(design, "arty", sources, folder, optimise="-O1")
    with VerilatedBoard(library, SERIAL) as simulated, terminal(simulated.run) as line:
        with open_device(f"serial:{line.port}", tmp_path) as network:
            for seed in range(3):
                check(network, program, seed)
        assert simulated.lights & 1
