"""Nodes of a QDQ network with random weights of four bits: written twice, first in float to find the range of each activation."""

from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

OPSET = 21  # the first with int4 weights
IR_VERSION = 10
WEIGHT_MAX = 7  # of an int4 weight, symmetric


@dataclass
class Nodes:
    """ranges: the largest magnitude of the activations of each name; None: the network is float, and gives them all. part: of the network,
    with which the names of its nodes begin. Each method gives the name of the value that it adds."""

    random: np.random.Generator
    ranges: dict[str, float] | None = None
    part: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    observed: dict[str, list[str]] = field(default_factory=dict)

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """The name, or a list of names, of its outputs."""
        number = len(self.nodes)
        names = [f"{kind.lower()}_{number}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{self.part}.{kind}_{number}", **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array: ArrayLike) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def integers(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def quantized(self, x: str, name: str, *, signed: bool = True) -> str:
        """x in 8 bits, at one scale with all activations of that name; unsigned what a ReLU gives."""
        if self.ranges is None:
            self.observed.setdefault(name, []).append(x)
            return x
        return self.steps(x, self.ranges[name] / (127 if signed else 255), signed=signed)

    def steps(self, x: str, scale: float, *, signed: bool = True) -> str:
        """x through QuantizeLinear and DequantizeLinear, in the float network too."""
        parameters = self.constant(np.float32(scale)), self.constant((np.int8 if signed else np.uint8)(0))
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *parameters), *parameters)

    def weights(self, *shape: int, gain: float) -> str:
        """Normal, with a variance of ``gain`` / inputs, in four bits with a scale for each output channel."""
        fan_in = int(np.prod(shape[1:]))
        real = self.random.normal(0, (gain / fan_in) ** 0.5, shape)
        scale = np.abs(real).reshape(shape[0], -1).max(axis=1) / WEIGHT_MAX
        data = np.rint(real / scale.reshape(-1, *[1] * (len(shape) - 1))).astype(ml_dtypes.int4)
        zeros = np.zeros(shape[0], ml_dtypes.int4)
        return self.op("DequantizeLinear", *map(self.constant, (data, scale.astype(np.float32), zeros)), axis=0)

    def bias(self, channels: int) -> str:
        return self.constant(self.random.normal(0, 0.1, channels).astype(np.float32))

    def named(self, x: str, name: str) -> str:
        """x, as an output of that name."""
        self.nodes.append(helper.make_node("Identity", [x], [name], name=f"{self.part}.{name}"))
        return name

    def model(self, source: onnx.ValueInfoProto, results: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "codenet", [source], results, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def real(name: str) -> onnx.ValueInfoProto:
    """A float map of any size."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ("images", "channels", "height", "width"))
