"""The example's language model on its Verilated hardware: `nox -s sim_long`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from celosia.gen.project import VERILOG, write_project
from celosia.rtl.arch.targets import TARGETS
from celosia.sw import compile_model
from celosia.sw.driver.network import Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.tb.runner import build_machine

from examples.gpt.quantize import CONTEXT, QDQ_MODEL
from examples.gpt.text import read_part, windows


@pytest.mark.parametrize("target", ["small", "medium"])
def test_equals_the_executor(target: str, tmp_path: Path) -> None:
    program = compile_model(QDQ_MODEL, replace(TARGETS[target], pruning=1))
    tokens, graph = windows(read_part("test"), CONTEXT)[:1], program.graph
    values = execute(graph, {"tokens": tokens}, lanes=program.parameters.lanes)
    manifest = write_project(program, tmp_path / "project")
    library = build_machine(tmp_path / "project" / VERILOG)
    with Network(VerilatedDevice(library, memory_bytes=manifest.memory_bytes), manifest) as network:
        found = network.run_integers(tokens)
        print(f"{target}: {network.counters()['cycles']:,} cycles")
    for port in graph.outputs:
        assert np.array_equal(found[port.name], values[port.tensor.name]), port.name
