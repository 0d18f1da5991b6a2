"""Verilator's lint of generated Verilog."""

from pathlib import Path

import pytest
from celosia.gen.blocks import BLOCKS, DeformBlock
from celosia.gen.lint import lint
from celosia.gen.package import write_block
from celosia.gen.verilator import ToolError
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.activation import ActivationCircuit
from celosia.rtl.arch.attention import AttentionCircuit
from celosia.rtl.arch.blocks import LaneCircuit
from celosia.rtl.arch.dram import PimCircuit, Preset
from celosia.rtl.arch.formats import UINT16
from celosia.rtl.arch.kbest import KBestCircuit
from celosia.rtl.arch.layernorm import LayerNormCircuit
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.softmax import SoftmaxCircuit
from celosia.rtl.arch.topk import Result, TopKCircuit

ODD = MachineParameters(rows=6, cols=12, lanes=3, scratchpad_kib=1, banks=1, bus_bytes=4, factor_bits=8, residual=1)
ONE_LANE = MachineParameters(rows=4, cols=4, lanes=1, scratchpad_kib=1, banks=2)
THREE_UNITS = MachineParameters(rows=4, cols=2, lanes=1, scratchpad_kib=1, units=3, packing=1)
SMALLEST = {
    "add": LaneCircuit(lanes=1),
    "multiply": LaneCircuit(lanes=1),
    "activation": ActivationCircuit(lanes=3),
    "softmax": SoftmaxCircuit(lanes=1, row_elements=16),
    "attention": AttentionCircuit(lanes=3, row_elements=16, head_elements=7, out=UINT16),
    "layernorm": LayerNormCircuit(lanes=3, row_elements=16),
    "topk": TopKCircuit(lanes=1, row_elements=16, result=Result.MASK),
    "kbest": KBestCircuit(lanes=1, k=1, index_bits=8),
    "compute": ODD,
    "vector": ONE_LANE,
    "deform": DeformBlock(channels=4, reach=1, width=4, free=True, bilinear=True, masked=True),
    "pim": PimCircuit(preset=Preset.HBM2),
    "accelerator": ODD,
}


@pytest.mark.parametrize("name", BLOCKS)
def test_block(tmp_path: Path, name: str) -> None:
    write_block(name, SMALLEST[name], tmp_path / name)
    for source in sorted((tmp_path / name).glob("*.v")):
        lint(source, top=source.stem)


def test_program_in_a_rom(tmp_path: Path) -> None:
    source = tmp_path / "accelerator.v"
    source.write_text(to_verilog(Accelerator(THREE_UNITS, program=bytes(range(64))), name="accelerator"))
    lint(source, top="accelerator")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("module bad(input a, output b); wire c; assign b = a & c; endmodule\n", "UNDRIVEN"),
        ("module bad(input a, output reg b); always @* if (a) b = 1; endmodule\n", "LATCH"),
        ("module bad(input a, output b); assign b = missing; endmodule\n", "missing"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, warning: str) -> None:
    source = tmp_path / "bad.v"
    source.write_text(text)
    with pytest.raises(ToolError, match=warning):
        lint(source, top="bad")
