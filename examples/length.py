"""A network of tokens for fewer of them: the first places of its context. Of a causal one the results are the same."""

import numpy as np
import onnx
from onnx import numpy_helper


def shortened(model: onnx.ModelProto, tokens: int) -> onnx.ModelProto:
    """For so many tokens. model: float or QDQ; its first input is of the tokens, [1, context]; its positions are the constant
    ``position`` or ``position_quantized``, and of a causal one ``seen`` is the mask."""
    short = onnx.ModelProto()
    short.CopyFrom(model)
    graph = short.graph
    context = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    for constant in graph.initializer:
        array = numpy_helper.to_array(constant)
        if constant.name in ("position", "position_quantized"):
            array = array[:tokens]
        elif constant.name == "seen":
            array = array[:tokens, :tokens]
        elif constant.data_type == onnx.TensorProto.INT64 and array.size > 1:  # a shape: [1, context, ...]
            array = np.array([array[0], tokens, *array[2:]])
        else:
            continue
        constant.CopyFrom(numpy_helper.from_array(array, constant.name))
    for port in (*graph.input, *graph.output):
        size = port.type.tensor_type.shape.dim[1]
        size.dim_value = tokens if size.dim_value == context else size.dim_value
    del graph.value_info[:]
    return short
