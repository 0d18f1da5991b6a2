"""Quantize digits.onnx to digits_qdq.onnx with ONNX Runtime's quantize_static: `python quantize.py`. Needs no PyTorch.

int8 matrix products with per-channel weights; int16 for the residual stream, the attention scores and the logits.
"""

import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from data import load_split
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

HERE = Path(__file__).parent
FLOAT_MODEL = HERE / "digits.onnx"
QDQ_MODEL = HERE / "digits_qdq.onnx"
QUANTIZED = ["MatMul", "Gemm", "Add", "LayerNormalization", "Softmax", "Gelu", "ReduceMean"]


class ImageReader(CalibrationDataReader):
    """Hands out the calibration images one at a time."""

    def __init__(self, images: NDArray[np.float32]):
        self.images = iter(images)

    def get_next(self) -> dict:
        image = next(self.images, None)
        return {} if image is None else {"image": image[None]}


def choose(model: onnx.ModelProto) -> tuple[list[str], dict[str, list[dict]]]:
    """The bias additions, which become part of their product's requantization, and the tensors that are not symmetric int8."""
    vectors = {i.name for i in model.graph.initializer if len(i.dims) == 1}
    biases, wide = [], {output.name for output in model.graph.output}
    overrides = {}
    for node in model.graph.node:
        if node.op_type == "Add" and vectors.intersection(node.input):
            biases.append(node.name)
        elif node.op_type == "Add":
            wide.update(node.input, node.output)
        elif node.op_type in ("LayerNormalization", "Softmax"):
            wide.add(node.input[0])
        if node.op_type in ("Gelu", "Softmax"):  # never, or hardly, negative
            overrides[node.output[0]] = [{"quant_type": QuantType.QInt8, "symmetric": False}]
    overrides.update({name: [{"quant_type": QuantType.QInt16, "symmetric": True}] for name in wide})
    return biases, overrides


def accuracy(path: Path) -> float:
    """Share of the test split that ONNX Runtime classifies rightly, with its own graph optimizations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images, labels = load_split("test")
    logits = [np.asarray(session.run(["logits"], {"image": image[None]})[0]) for image in images]
    return float((np.concatenate(logits).argmax(axis=1) == labels).mean())


def main() -> None:
    logging.getLogger().setLevel(logging.ERROR)
    biases, overrides = choose(onnx.load(FLOAT_MODEL))
    quantize_static(
        FLOAT_MODEL,
        QDQ_MODEL,
        ImageReader(load_split("calibration")[0]),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTIZED,
        nodes_to_exclude=biases,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "ActivationSymmetric": True,
            "OpTypesToExcludeOutputQuantization": ["MatMul"],  # a bias or a reshape comes first
            "TensorQuantOverrides": overrides,
        },
    )
    print(f"test accuracy: float {accuracy(FLOAT_MODEL):.2%}, QDQ {accuracy(QDQ_MODEL):.2%}")


if __name__ == "__main__":
    main()
