"""The blocks that can be generated alone, with their parameters."""

import re
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from ..rtl.accelerator import Accelerator
from ..rtl.add import Add
from ..rtl.arch.attention import AttentionCircuit
from ..rtl.arch.blocks import LaneCircuit
from ..rtl.arch.layernorm import LayerNormCircuit
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.softmax import SoftmaxCircuit
from ..rtl.attention import Attention
from ..rtl.compute import ComputeUnit
from ..rtl.gelu import Gelu
from ..rtl.layernorm import LayerNorm
from ..rtl.softmax import Softmax
from ..rtl.vector import VectorEngine
from .folder import fresh_folder
from .verilog import to_verilog


@dataclass(frozen=True)
class Block:
    """make: from an instance of ``parameters``, a dataclass with defaults: integers, flags, formats and other choices."""

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


BLOCKS = {
    "add": Block("Residual add, or requantize between scales", Add, LaneCircuit),
    "gelu": Block("GELU: ReLU minus a small table", Gelu, LaneCircuit),
    "softmax": Block("Single-pass softmax of rows", Softmax, SoftmaxCircuit),
    "attention": Block("Streaming attention: scores and values in, weighted values out", Attention, AttentionCircuit),
    "layernorm": Block("LayerNorm or RMSNorm of rows in one pass", LayerNorm, LayerNormCircuit),
    "compute": Block("Compute unit: int8 matrix products on scratchpad ports", ComputeUnit, MachineParameters),
    "vector": Block("Vector engine: add, softmax, GELU, LayerNorm on scratchpad ports", VectorEngine, MachineParameters),
    "accelerator": Block("The whole machine, program in memory: AXI4 master, AXI4-Lite slave", Accelerator, MachineParameters),
}


def default_of(field: Field) -> object:
    """The default of a block's parameter, as a user writes it."""
    return field.default.value if isinstance(field.default, Enum) else field.default


def write_block(name: str, parameters: object, folder: Path) -> Path:
    """Write the block's Verilog as ``name``.v into ``folder``, which is replaced whole or not at all. Returns the file."""
    block = BLOCKS[name]
    verilog = f"{name}.v"
    with fresh_folder(folder, marker=verilog) as new:
        (new / verilog).write_text(to_verilog(block.make(parameters), name=name))
    return folder / verilog
