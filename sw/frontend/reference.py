"""Hold the integer executor against ONNX Runtime on the same file, layer by layer. Needs onnxruntime."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from ..executor import initial_values, quantize_input, run_operator, signed_offset
from ..golden.requantize import Int
from ..graph import Graph, TopK


class Reference:
    """ONNX Runtime on a QDQ model, its graph optimizations off, giving every quantized value."""

    def __init__(self, path: Path | str, graph: Graph):
        import onnxruntime  # which the package does without

        self.graph = graph
        model = onnx.load(path)
        self.outputs = [output.name for output in model.graph.output]
        known = set(self.outputs)
        for layer in graph.layers.values():
            if layer.name not in known:
                kind = onnx.helper.np_dtype_to_tensor_dtype(layer.dtype)
                model.graph.output.append(onnx.helper.make_tensor_value_info(layer.name, kind, layer.shape))
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, arrays: Mapping[str, NDArray]) -> tuple[dict[str, NDArray], dict[str, Int]]:
        """The model's outputs by name, and the value of every tensor that an operator writes, [rows, cols], by tensor name."""
        names = list(dict.fromkeys([*self.outputs, *(layer.name for layer in self.graph.layers.values())]))
        found = dict(zip(names, map(np.asarray, self.session.run(names, dict(arrays))), strict=True))
        layers = {
            tensor: found[layer.name].reshape(-1)[layer.permutation].astype(np.int64) + signed_offset(layer.dtype)
            for tensor, layer in self.graph.layers.items()
        }
        return {name: found[name] for name in self.outputs}, layers


@dataclass(frozen=True)
class LayerDifference:
    """How far an operator is from ONNX Runtime, both given ONNX Runtime's integers as inputs. worst: in output steps."""

    operator: str
    elements: int
    equal: int
    within_one: int
    worst: int


def compare_layers(graph: Graph, arrays: Mapping[str, NDArray], layers: Mapping[str, Int], *, lanes: int) -> Iterator[LayerDifference]:
    """Each operator whose results are a quantized value of the network against the reference's ``layers`` of the same ``arrays``, but for
    what comes after a TopK, whose results are in another order there. lanes: see `executor.execute`."""
    values, reordered = initial_values(graph), set[str]()
    for port in graph.inputs:
        values[port.tensor.name] = quantize_input(port, arrays[port.name])
    for operator in graph.operators:
        run_operator(operator, values, lanes)
        tensor = operator.outputs[0].tensor.name
        if isinstance(operator, TopK) or any(block.tensor.name in reordered for block in operator.inputs):
            reordered |= {block.tensor.name for block in operator.outputs}
        if tensor not in layers or tensor in reordered:
            continue
        difference = np.abs(values[tensor] - layers[tensor])
        yield LayerDifference(
            operator=operator.name,
            elements=difference.size,
            equal=int((difference == 0).sum()),
            within_one=int((difference <= 1).sum()),
            worst=int(difference.max()),
        )
        values[tensor] = layers[tensor].copy()
