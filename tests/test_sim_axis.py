"""Blocks behind AXI4-Stream and AXI4-Lite: the benches that `celosia generate` writes pass as a user runs them."""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celosia.gen.package import write_block
from celosia.rtl.add import Add
from celosia.rtl.arch.activation import ActivationCircuit
from celosia.rtl.arch.blocks import LaneCircuit
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.formats import INT8, UINT8
from celosia.rtl.arch.kbest import KBestCircuit
from celosia.rtl.arch.layernorm import LayerNormCircuit
from celosia.rtl.arch.softmax import Mask, SoftmaxCircuit
from celosia.rtl.arch.topk import Result, TopKCircuit
from celosia.rtl.axi_stream import AxiStreamBlock
from celosia.rtl.layernorm import LayerNorm
from celosia.rtl.softmax import Softmax
from celosia.rtl.streams import Queue
from celosia.tb.paths import combinational_paths

GENERATED: list[tuple[str, Any, dict[str, float]]] = [
    ("softmax", SoftmaxCircuit(lanes=3, row_elements=32, source=INT8, out=UINT8), {"in_scale": 0.05}),
    ("softmax", SoftmaxCircuit(lanes=2, row_elements=32, mask=Mask.CAUSAL), {}),
    ("layernorm", LayerNormCircuit(lanes=2, row_elements=32, source=INT8), {}),
    ("topk", TopKCircuit(lanes=4, row_elements=32, source=INT8, result=Result.PAIRS), {}),
    ("topk", TopKCircuit(lanes=2, row_elements=32, source=UINT8, result=Result.MASK), {}),
    ("kbest", KBestCircuit(lanes=4, k=3, source=INT8, index_bits=16), {}),
    ("activation", ActivationCircuit(lanes=2, source=INT8, out=UINT8), {}),
    ("multiply", LaneCircuit(lanes=2), {}),
]


@pytest.mark.parametrize(("name", "circuit", "scales"), GENERATED, ids=lambda value: value if isinstance(value, str) else "")
def test_generated_bench(tmp_path: Path, name: str, circuit: LaneCircuit, scales: dict[str, float]) -> None:
    folder = tmp_path / name
    write_block(name, circuit, folder, scales=scales)
    done = subprocess.run([sys.executable, f"test_{name}.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " FAIL=0 " in done.stdout


def test_bench_without_cocotb(tmp_path: Path) -> None:
    write_block("add", LaneCircuit(lanes=1), tmp_path / "add")
    start = "import runpy, sys; sys.modules['cocotb'] = None; runpy.run_path('test_add.py')"
    done = subprocess.run([sys.executable, "-c", start], cwd=tmp_path / "add", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "test_add.py: the module cocotb is missing: pip install cocotb cocotbext-axi\n")


ROWS = Softmax(SoftmaxCircuit(lanes=2, row_elements=16)), LayerNorm(LayerNormCircuit(lanes=2, row_elements=16))


@pytest.mark.parametrize("block", ROWS, ids=lambda block: type(block).__name__)
def test_paths(block: Softmax | LayerNorm) -> None:
    """No output follows an input within a cycle."""
    assert combinational_paths(AxiStreamBlock(block, name="rows")) == set()


def test_paths_of_two_operands() -> None:
    """An operand is taken when the other one is there, whatever its own says."""
    paths = combinational_paths(AxiStreamBlock(Add(LaneCircuit(lanes=2)), name="add"))
    assert paths == {("s_axis_a_tvalid", "s_axis_b_tready"), ("s_axis_b_tvalid", "s_axis_a_tready")}


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_other_ports_are_refused() -> None:
    with pytest.raises(ParameterError, match="a block's ports must be streams, parameters, inputs of one bit and errors, not 'level'"):
        AxiStreamBlock(Queue(8, depth=4), name="queue")
    gc.collect()  # here Amaranth warns of components that nobody elaborates
