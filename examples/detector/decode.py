"""What makes detections of CenterNet's maps, as ONNX nodes: local maxima of the heat, the K largest of them, and their boxes."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .data import STRIDE

DETECTIONS = 20
BOX_STEP = 2.0**-6  # pixels: of a quantized box, int16
OUTPUTS = "scores", "classes", "boxes"


class _Graph:
    """Nodes and constants that are added to a model's graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._dequantized = {node.output[0]: list(node.input[1:]) for node in graph.node if node.op_type == "DequantizeLinear"}

    def add(self, kind: str, *inputs: str, results: tuple[str, ...], **attributes: Any) -> str:
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


def with_detections(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its maps ``hm`` [1, CLASSES, H, W] and ``box`` [1, 4, H, W] made DETECTIONS detections: ``scores`` and ``classes``
    [1, DETECTIONS], ``boxes`` [1, DETECTIONS, 4], in no order, with scores of 0 where fewer were found."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph, (hm, _) = _Graph(made.graph), model.graph.output
    classes, height, width = (d.dim_value for d in hm.type.tensor_type.shape.dim[1:])
    pixels = height * width

    pooled = graph.add("MaxPool", "hm", results=("largest_near",), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    largest = graph.quantized_as("hm", pooled, "largest")
    is_largest = graph.add("Cast", graph.add("Equal", "hm", largest, results=("same",)), results=("peak",), to=onnx.TensorProto.FLOAT)
    kept = graph.quantized_as("hm", graph.add("Mul", "hm", is_largest, results=("peaks_alone",)), "peaks")
    flat = graph.add("Reshape", kept, graph.constant("flat_shape", np.array([1, classes * pixels])), results=("flat",))
    graph.add("TopK", flat, graph.constant("k", np.array([DETECTIONS])), results=("scores", "places"), sorted=0)
    count = graph.constant("pixels", np.array(pixels))
    graph.add("Div", "places", count, results=("classes",))
    pixel = graph.add("Mod", "places", count, results=("pixel",))

    rows = graph.add("Transpose", "box", results=("box_last",), perm=[0, 2, 3, 1])
    rows = graph.add("Reshape", rows, graph.constant("rows_shape", np.array([pixels, 4])), results=("box_rows",))
    y, x = np.mgrid[:height, :width].reshape(2, -1) * float(STRIDE)
    corners = graph.constant("corners", np.stack([x, y, x, y], axis=1).astype(np.float32))
    near = graph.add("Gather", rows, pixel, results=("box_near",))
    corner = graph.quantized_as("box", graph.add("Gather", corners, pixel, results=("corner_of",)), "corner")
    boxes = graph.add("Add", near, corner, results=("boxes_real",))
    graph.quantized_as("box", boxes, "boxes")

    shapes, kinds = (
        ([1, DETECTIONS], [1, DETECTIONS], [1, DETECTIONS, 4]),
        (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT),
    )
    del made.graph.output[:]
    made.graph.output.extend(helper.make_tensor_value_info(*about) for about in zip(OUTPUTS, kinds, shapes, strict=True))
    onnx.checker.check_model(made, full_check=True)
    return made
