"""How the examples are quantized with ONNX Runtime's `quantize_static`, and run there. Needs no PyTorch.

int8 matrix products with per-channel weights; int16 for the residual stream, the attention scores and the logits.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

QUANTIZED = ["MatMul", "Gemm", "Add", "LayerNormalization", "Softmax", "Gelu", "ReduceMean", "Where", "ArgMax"]


class Reader(CalibrationDataReader):
    """Hands out what the network is calibrated on, one input at a time."""

    def __init__(self, name: str, arrays: Iterable[NDArray]):
        self.name, self.arrays = name, iter(arrays)

    def get_next(self) -> dict:
        array = next(self.arrays, None)
        return {} if array is None else {self.name: array[None]}


def choose(model: onnx.ModelProto) -> tuple[list[str], dict[str, list[dict]]]:
    """The nodes to leave as they are, and the tensors that are not symmetric int8.

    Left are additions of a bias, which become part of their product's requantization, and Softmax behind a mask, whose scores are
    quantized before it.
    """
    vectors = {i.name for i in model.graph.initializer if len(i.dims) == 1}
    left, wide = [], {output.name for output in model.graph.output if output.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    masked = {node.output[0]: node.input[1] for node in model.graph.node if node.op_type == "Where"}
    overrides = {}
    for node in model.graph.node:
        if node.op_type == "Add" and vectors.intersection(node.input):
            left.append(node.name)
        elif node.op_type == "Add":
            wide.update(node.input, node.output)
        elif node.op_type in ("LayerNormalization", "Softmax"):
            wide.add(masked.get(node.input[0], node.input[0]))
            left += [node.name] if node.input[0] in masked else []
        if node.op_type in ("Gelu", "Softmax"):  # never, or hardly, negative
            overrides[node.output[0]] = [{"quant_type": QuantType.QInt8, "symmetric": False}]
    overrides.update({name: [{"quant_type": QuantType.QInt16, "symmetric": True}] for name in wide})
    return left, overrides


def quantize(source: Path, target: Path, reader: Reader) -> None:
    """Write the QDQ network of a float one, a transformer."""
    left, overrides = choose(onnx.load(source))
    quantize_with(
        source,
        target,
        reader,
        op_types_to_quantize=QUANTIZED,
        nodes_to_exclude=left,
        extra_options={
            "ActivationSymmetric": True,
            "OpTypesToExcludeOutputQuantization": ["MatMul", "Where"],  # a bias or a reshape, or Softmax, comes first
            "ForceQuantizeNoInputCheck": True,  # the operands of Where
            "TensorQuantOverrides": overrides,
        },
    )


def quantize_with(source: Path, target: Path, reader: Reader, **options: Any) -> None:
    """Write the QDQ network of a float one, with int8 tensors and weights per channel where the options of quantize_static say nothing
    else."""
    logging.getLogger().setLevel(logging.ERROR)
    int8 = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    quantize_static(source, target, reader, quant_format=QuantFormat.QDQ, per_channel=True, **int8, **options)


def session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the file, or what it holds, with its own graph optimizations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
