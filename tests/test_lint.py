"""Verilator's lint of generated Verilog."""

from pathlib import Path

import pytest
from celosia.gen.lint import lint
from celosia.gen.verilator import ToolError
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.parameters import MachineParameters


def test_accelerator(tmp_path: Path) -> None:
    source = tmp_path / "accelerator.v"
    source.write_text(to_verilog(Accelerator(MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=16)), name="accelerator"))
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
