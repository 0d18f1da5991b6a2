"""The network for fewer tokens: the first ones of its context, whose results are the same since none attends to later ones."""

import onnx
from onnx import numpy_helper


def shortened(model: onnx.ModelProto, tokens: int) -> onnx.ModelProto:
    """gpt.onnx or gpt_qdq.onnx for so many tokens."""
    short = onnx.ModelProto()
    short.CopyFrom(model)
    graph = short.graph
    for constant in graph.initializer:
        array = numpy_helper.to_array(constant).copy()
        if constant.name in ("position", "position_quantized"):
            array = array[:tokens]
        elif constant.name == "seen":
            array = array[:tokens, :tokens]
        elif constant.data_type == onnx.TensorProto.INT64:  # a shape: [1, tokens, ...]
            array[1] = tokens
        constant.CopyFrom(numpy_helper.from_array(array, constant.name))
    for port in (*graph.input, *graph.output):
        port.type.tensor_type.shape.dim[1].dim_value = tokens
    del graph.value_info[:]
    return short
