"""The blocks that can be generated alone, with their parameters."""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

from amaranth.lib import wiring

from ..rtl.accelerator import Accelerator
from ..rtl.activation import Activation
from ..rtl.add import Add
from ..rtl.arch.activation import ActivationCircuit
from ..rtl.arch.attention import AttentionCircuit
from ..rtl.arch.blocks import LaneCircuit
from ..rtl.arch.checks import require
from ..rtl.arch.deform import DeformCircuit
from ..rtl.arch.dram import PimCircuit
from ..rtl.arch.kbest import KBestCircuit
from ..rtl.arch.layernorm import LayerNormCircuit
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.record import Record
from ..rtl.arch.softmax import SoftmaxCircuit
from ..rtl.arch.topk import TopKCircuit
from ..rtl.attention import Attention
from ..rtl.compute import ComputeUnit
from ..rtl.deform.engine import DeformEngine
from ..rtl.kbest import KBest
from ..rtl.layernorm import LayerNorm
from ..rtl.multiply import Multiply
from ..rtl.pim.controller import PimController
from ..rtl.softmax import Softmax
from ..rtl.topk import TopK
from ..rtl.vector import VectorEngine
from ..sw.golden.activation import ActivationParameters, ActivationTable
from ..sw.golden.attention import AttentionParameters
from ..sw.golden.softmax import SoftmaxParameters


@dataclass(frozen=True)
class Scales:
    """Scales that a block can have built in.

    fixed: from an instance of the block's parameters, and by name some of ``options``, what ``make`` takes as its second argument;
    raises ValueError for those that the widths can't carry. options: type and meaning by name. required: those without a default.
    """

    fixed: Callable[..., Any]
    options: Mapping[str, tuple[type, str]]
    required: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """make: from an instance of ``parameters``, a dataclass of numbers, flags, formats and other choices with defaults."""

    text: str
    make: Callable[..., wiring.Component]
    parameters: type
    scales: Scales | None = None

    @property
    def has_streams(self) -> bool:
        """Whether its ports are streams of packets, which can be wrapped with AXI4-Stream."""
        return issubclass(self.parameters, LaneCircuit)

    def built_in(self, parameters: object, scales: Mapping[str, float] | None) -> tuple[Any, ...]:
        """What ``make`` takes besides ``parameters``. Raises ValueError for scales that the widths can't carry."""
        return (self.scales.fixed(parameters, **scales),) if self.scales and scales else ()

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


def _fields_of(record: Record, parameters: object) -> dict[str, int]:
    fixed = {field.name: getattr(parameters, field.name) for field in record.fields}
    record.pack(fixed)  # refuses what does not fit
    return fixed


def _fixed_softmax(circuit: SoftmaxCircuit, **scales: Any) -> dict[str, int]:
    names = [field.name for field in circuit.record.fields]
    for name, least in (("length", 0), ("rows", 1)):
        if name in names:
            require(scales.get(name, -1) >= least, name, f"given, and at least {least}, where scales are built in", scales.get(name))
        else:
            require(name not in scales, name, f"left out with mask {circuit.mask.value}", scales.get(name))
    return _fields_of(circuit.record, SoftmaxParameters.from_scales(circuit, **scales))


def _fixed_attention(circuit: AttentionCircuit, **scales: Any) -> dict[str, int]:
    return _fields_of(circuit.record, AttentionParameters.of(circuit, **scales))


def _fixed_activation(circuit: ActivationCircuit, **scales: Any) -> dict[str, int] | tuple[int, ...]:
    scales = {"in_zero_point": 0, "out_zero_point": 0} | scales
    if circuit.tabulated:
        return ActivationTable.from_scales(circuit, **scales).entries
    return _fields_of(circuit.record, ActivationParameters.from_scales(circuit, **scales))


@dataclass(frozen=True, kw_only=True)
class DeformBlock(DeformCircuit):
    """channels: that are computed at once, a byte each of a scratchpad word.
    weight_bits: of a weight, 4 or 8.
    """

    channels: int = 16
    weight_bits: int = 8


def _deform(circuit: DeformBlock) -> DeformEngine:
    own = {f"deform_{field.name}": int(getattr(circuit, field.name)) for field in fields(DeformCircuit)}
    machine = {"rows": circuit.channels, "cols": circuit.channels, "lanes": 1, "weight_bits": circuit.weight_bits}
    return DeformEngine(MachineParameters.from_dict({**machine, **own}))


def _pim(circuit: PimCircuit) -> PimController:
    return PimController(circuit.dram)


_IN_SCALE = (float, "Scale of the input, to build in; without scales the parameters are given at run time.")
_OUT_SCALE = (float, "Scale of the result, to build in.")

SOFTMAX_SCALES = Scales(
    _fixed_softmax,
    {
        "in_scale": _IN_SCALE,
        "out_scale": (float, "Scale of the result. Default: 0 to 1 over the whole range."),
        "out_zero_point": (int, "Zero point of the result. Default: the lowest number."),
        "length": (int, "Elements that count, for a mask."),
        "rows": (int, "Rows of a matrix, for a causal mask and for column sums."),
    },
    ("in_scale",),
)
ATTENTION_SCALES = Scales(
    _fixed_attention,
    {
        "in_scale": _IN_SCALE,
        "value_scale": (float, "Scale of the values, to build in."),
        "value_zero_point": (int, "Zero point of the values. Default 0."),
        "out_scale": _OUT_SCALE,
        "out_zero_point": (int, "Zero point of the result. Default 0."),
    },
    ("in_scale", "value_scale", "out_scale"),
)
ACTIVATION_SCALES = Scales(
    _fixed_activation,
    {
        "in_scale": _IN_SCALE,
        "in_zero_point": (int, "Zero point of the input. Default 0."),
        "out_scale": _OUT_SCALE,
        "out_zero_point": (int, "Zero point of the result. Default 0."),
    },
    ("in_scale", "out_scale"),
)

BLOCKS = {
    "add": Block("Residual add, or requantize between scales", Add, LaneCircuit),
    "multiply": Block("Elementwise product of two tensors, as of gates", Multiply, LaneCircuit),
    "activation": Block(
        "GELU, SiLU, sigmoid, tanh, exp or erf of each element, by tables", Activation, ActivationCircuit, ACTIVATION_SCALES
    ),
    "softmax": Block("Single-pass softmax of rows", Softmax, SoftmaxCircuit, SOFTMAX_SCALES),
    "attention": Block("Streaming attention: scores and values in, weighted values out", Attention, AttentionCircuit, ATTENTION_SCALES),
    "layernorm": Block("LayerNorm or RMSNorm of rows in one pass", LayerNorm, LayerNormCircuit),
    "topk": Block("Top-k engine: the k largest scores of a row, in their order", TopK, TopKCircuit),
    "kbest": Block("The k best of an unbounded stream, the best first: argmax, gating, beam search", KBest, KBestCircuit),
    "compute": Block("Compute unit: int8 matrix products on scratchpad ports", ComputeUnit, MachineParameters),
    "vector": Block("Vector engine: add, multiply, softmax, GELU, LayerNorm on scratchpad ports", VectorEngine, MachineParameters),
    "pim": Block("PIM controller: macros and AXI4 to the commands of DRAM whose banks multiply", _pim, PimCircuit),
    "deform": Block(
        "Deformable convolution engine on scratchpad ports: depthwise, with offsets for each pixel or tap", _deform, DeformBlock
    ),
    "accelerator": Block("The whole machine, program in memory: AXI4 master, AXI4-Lite slave", Accelerator, MachineParameters),
}
