"""The blocks that can be generated alone, with their parameters."""

import enum
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from ..rtl.accelerator import Accelerator
from ..rtl.activation import Activation
from ..rtl.add import Add
from ..rtl.arch.activation import ActivationCircuit
from ..rtl.arch.attention import AttentionCircuit
from ..rtl.arch.blocks import LaneCircuit
from ..rtl.arch.layernorm import LayerNormCircuit
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.softmax import SoftmaxCircuit
from ..rtl.attention import Attention
from ..rtl.compute import ComputeUnit
from ..rtl.layernorm import LayerNorm
from ..rtl.softmax import Softmax
from ..rtl.vector import VectorEngine
from .folder import fresh_folder
from .verilog import to_verilog


@dataclass(frozen=True)
class Block:
    """make: from an instance of ``parameters``, a dataclass of numbers, flags, formats and other choices with defaults."""

    text: str
    make: Callable[[Any], wiring.Component]
    parameters: type

    @property
    def fields(self) -> tuple[Field, ...]:
        return fields(self.parameters)

    def help(self, name: str) -> str:
        """What the parameters' docstrings say of one of them."""
        for kind in self.parameters.__mro__:
            if found := re.search(rf"^\s*{name}: (.*?)$", kind.__doc__ or "", re.MULTILINE):
                return found.group(1)
        return ""


def parameter_text(value: object) -> str:
    """A parameter's value as the command line has it."""
    return str(value.value if isinstance(value, enum.Enum) else value)


BLOCKS = {
    "add": Block("Residual add, or requantize between scales", Add, LaneCircuit),
    "activation": Block("GELU, SiLU, sigmoid, tanh, exp or erf of each element, by tables", Activation, ActivationCircuit),
    "softmax": Block("Single-pass softmax of rows", Softmax, SoftmaxCircuit),
    "attention": Block("Streaming attention: scores and values in, weighted values out", Attention, AttentionCircuit),
    "layernorm": Block("LayerNorm or RMSNorm of rows in one pass", LayerNorm, LayerNormCircuit),
    "compute": Block("Compute unit: int8 matrix products on scratchpad ports", ComputeUnit, MachineParameters),
    "vector": Block("Vector engine: add, softmax, GELU, LayerNorm on scratchpad ports", VectorEngine, MachineParameters),
    "accelerator": Block("The whole machine, program in memory: AXI4 master, AXI4-Lite slave", Accelerator, MachineParameters),
}


def write_block(name: str, parameters: object, folder: Path) -> Path:
    """Write the block's Verilog as ``name``.v into ``folder``, which is replaced whole or not at all. Returns the file."""
    block = BLOCKS[name]
    verilog = f"{name}.v"
    with fresh_folder(folder, marker=verilog) as new:
        (new / verilog).write_text(to_verilog(block.make(parameters), name=name))
    return folder / verilog
