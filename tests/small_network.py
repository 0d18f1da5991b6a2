"""The smallest network and machine of the boards' tests, and whether a device computes the network."""

from pathlib import Path

import numpy as np
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import compile_model
from celosia.sw.compiler.program import Program
from celosia.sw.driver.network import Network
from celosia.sw.executor import execute
from onnx_models import mlp, quantize
from onnxruntime.quantization import QuantType

MACHINE = MachineParameters(rows=4, cols=4, lanes=1, scratchpad_kib=2, banks=2, bus_bytes=4, transformer=0)


def small_program(folder: Path) -> Program:
    """Its model is written into the folder."""
    path = folder / "mlp.onnx"
    quantize(mlp(), path, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8)
    return compile_model(path, MACHINE)


def check(network: Network, program: Program, seed: int) -> None:
    """The device's integers are the executor's."""
    rng = np.random.default_rng(seed)
    inputs = {port.name: rng.normal(size=port.shape).astype(np.float32) for port in program.graph.inputs}
    values, found = execute(program.graph, inputs, lanes=MACHINE.lanes), network.run_integers(inputs)
    assert found.keys() == {port.name for port in program.graph.outputs}
    for port in program.graph.outputs:
        assert (found[port.name] == values[port.tensor.name]).all()
