"""The whole accelerator on AXI buses, with its program in memory and in a ROM."""

from pathlib import Path

import numpy as np
import pytest
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute
from celosia.sw.manifest import Manifest
from celosia.tb.graphs import Builder, random_inputs
from celosia.tb.paths import combinational_paths
from celosia.tb.runner import run_bench

SMALL = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=2, accumulator_depth=16, bus_bytes=8, row_elements=64)
ODD = MachineParameters(rows=6, cols=12, lanes=3, scratchpad_kib=2, banks=4, accumulator_depth=16, bus_bytes=4, row_elements=64)


def encoder(seed: int) -> ir.Graph:
    """Every kind of operator, on shapes that are multiples of nothing."""
    builder = Builder(seed)
    x = builder.tensor(5, 11, 16)
    y = builder.layernorm(x, 8)
    y = builder.add(x, builder.attention(y, heads=2, width=3), 16)
    z = builder.linear(builder.layernorm(y, 8), 13, 8)
    z = builder.linear(builder.gelu(z, 8), 11, 16)
    return builder.graph([x], [builder.add(y, z, 8)])


@pytest.mark.parametrize(("parameters", "rom"), [(SMALL, False), (ODD, True)], ids=["memory", "rom"])
def test_accelerator(tmp_path: Path, parameters: MachineParameters, rom: bool) -> None:
    graph = encoder(seed=1)
    manifest = Manifest.of(compile_graph(graph, parameters), rom=rom)
    manifest.save(tmp_path)
    for number in range(2):
        inputs = random_inputs(graph, seed=number)
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        for name, array in inputs.items():
            np.save(folder / f"in_{name}", array)
        values = execute(graph, inputs, lanes=parameters.lanes)
        for port in graph.outputs:
            np.save(folder / f"out_{port.name}", values[port.tensor.name])
    circuit = Accelerator(parameters, program=manifest.code if rom else None, connections=manifest.connections)
    run_bench(circuit, "celosia.tb.test_accelerator", {"folder": str(tmp_path)})


def test_paths() -> None:
    """No AXI output follows an input within a cycle, but that a beat's id chooses whose ready it gets."""
    assert combinational_paths(Accelerator(SMALL)) == {("m_axi_rid", "m_axi_rready")}
