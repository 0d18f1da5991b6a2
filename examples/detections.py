"""CenterNet's detections as ONNX nodes: local maxima of the heat, the K largest of them, and what other maps say there."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class Decoder:
    """Adds its nodes and constants to a copy of a model, whose first output is the heat map ``hm`` [1, C, H, W]. shape: (C, H, W)."""

    def __init__(self, model: onnx.ModelProto, shape: tuple[int, int, int]) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._graph, self._shape = self.model.graph, shape
        self._dequantized: dict[str, list[str]] = {}
        for node in self._graph.node:
            if node.op_type == "DequantizeLinear":
                self._dequantized[node.output[0]] = list(node.input[1:])
            elif node.op_type == "Identity" and node.input[0] in self._dequantized:
                self._dequantized[node.output[0]] = self._dequantized[node.input[0]]

    def add(self, kind: str, *inputs: str, results: tuple[str, ...], **attributes: Any) -> str:
        """The first of its results."""
        self._graph.node.append(helper.make_node(kind, inputs, results, name=f"decode.{results[0]}", **attributes))
        return results[0]

    def constant(self, name: str, array: NDArray) -> str:
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def quantized_as(self, other: str, value: str, result: str) -> str:
        """The value, through QuantizeLinear and DequantizeLinear where the other one came through the latter."""
        parameters = self._dequantized.get(other)
        if parameters is None:
            return self.add("Identity", value, results=(result,))
        self._dequantized[result] = parameters
        integers = self.add("QuantizeLinear", value, *parameters, results=(f"{result}.integers",))
        return self.add("DequantizeLinear", integers, *parameters, results=(result,))

    def largest(self, count: int) -> str:
        """The name of the pixels [1, count] of the largest local maxima, whose ``scores`` and ``classes`` [1, count] are made too."""
        channels, height, width = self._shape
        pixels = height * width
        pooled = self.add("MaxPool", "hm", results=("largest_near",), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        largest = self.quantized_as("hm", pooled, "largest")
        is_largest = self.add("Cast", self.add("Equal", "hm", largest, results=("same",)), results=("peak",), to=onnx.TensorProto.FLOAT)
        kept = self.quantized_as("hm", self.add("Mul", "hm", is_largest, results=("peaks_alone",)), "peaks")
        flat = self.add("Reshape", kept, self.constant("flat_shape", np.array([1, channels * pixels])), results=("flat",))
        self.add("TopK", flat, self.constant("k", np.array([count])), results=("scores", "places"), sorted=0)
        divisor = self.constant("pixels", np.array(pixels))
        self.add("Div", "places", divisor, results=("classes",))
        return self.add("Mod", "places", divisor, results=("pixel",))

    def near(self, name: str, channels: int, pixel: str, result: str) -> str:
        """What the map of that name [1, channels, H, W] has at pixels: [1, count, channels]."""
        _, height, width = self._shape
        rows = self.add("Transpose", name, results=(f"{name}_last",), perm=[0, 2, 3, 1])
        shape = self.constant(f"{name}_rows_shape", np.array([height * width, channels]))
        return self.add("Gather", self.add("Reshape", rows, shape, results=(f"{name}_rows",)), pixel, results=(result,))

    def finished(self, shapes: Mapping[str, Sequence[int]], integers: Collection[str]) -> onnx.ModelProto:
        """The model with outputs of these names and shapes alone; integers: those that are int64."""
        kinds = {name: onnx.TensorProto.INT64 if name in integers else onnx.TensorProto.FLOAT for name in shapes}
        del self._graph.output[:]
        self._graph.output.extend(helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in shapes.items())
        onnx.checker.check_model(self.model, full_check=True)
        return self.model
