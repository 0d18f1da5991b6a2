"""Quantize detector.onnx and plain.onnx: `python -m examples.detector.quantize` in the checkout writes their QDQ networks, with weights of
8 and of 4 bits, which end in detections. Needs no PyTorch.

quantize_static does not know DeformConv: its weights are quantized here, and its rounded offsets by a scale of 1.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from celosia.sw.quantize.static import static
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType

from .data import scenes
from .decode import BOX_STEP, with_detections

HERE = Path(__file__).parent
FLOAT_MODELS = {"deformable": HERE / "detector.onnx", "plain": HERE / "plain.onnx"}
WEIGHT_BITS = 8, 4
CALIBRATION_SCENES = 128
WHOLE = "features.fine.0.0", "hm", "box"  # convolutions whose weights have 8 bits in any case: the first one and the last ones
LEAST_HEAT = -5.0  # of the heat before its sigmoid, so that its steps are finer where it matters


def qdq_model(name: str, bits: int) -> Path:
    """Of a network of FLOAT_MODELS, with weights of so many bits."""
    path = FLOAT_MODELS[name]
    return path.with_name(f"{path.stem}_w{bits}a8.onnx")


def _weights(model: onnx.ModelProto) -> dict[str, str]:
    """The names of the weights, by the name of the module whose they are."""
    return {i.name.removesuffix(".weight"): i.name for i in model.graph.initializer if i.name.endswith(".weight")}


def overrides(model: onnx.ModelProto, bits: int) -> dict[str, list[dict[str, Any]]]:
    """Of tensors that quantize_static must not choose for itself."""
    one = {"quant_type": QuantType.QInt8, "scale": np.array(1, np.float32), "zero_point": np.array(0, np.int8)}
    rounded = {node.input[0]: [one] for node in model.graph.node if node.op_type == "Round"}
    box = {"quant_type": QuantType.QInt16, "scale": np.array(BOX_STEP, np.float32), "zero_point": np.array(0, np.int16)}
    (logits,) = (node.input[0] for node in model.graph.node if node.op_type == "Sigmoid")
    heat = {"quant_type": QuantType.QInt8, "rmin": np.array(LEAST_HEAT, np.float32), "rmax": np.array(-LEAST_HEAT, np.float32)}
    narrow = {"quant_type": QuantType.QInt4, "axis": 0, "symmetric": True}
    narrowed = {weights: [narrow] for module, weights in _weights(model).items() if bits == 4 and module not in WHOLE}
    deformed = {node.input[1] for node in model.graph.node if node.op_type == "DeformConv"}
    return {**rounded, "box": [box], logits: [heat], **{name: about for name, about in narrowed.items() if name not in deformed}}


def _quantized(weights: NDArray, bits: int) -> tuple[NDArray, NDArray]:
    """Integers and a scale for each output channel."""
    most = 2 ** (bits - 1) - 1
    scale = (np.abs(weights).reshape(len(weights), -1).max(axis=1) / most).astype(np.float32)
    return np.rint(weights / scale.reshape(-1, 1, 1, 1)).clip(-most, most), scale


def _dequantized(name: str, weights: NDArray, bits: int, graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """What makes quantized weights of that name: the first nodes of the graph."""
    data, scale = _quantized(weights, bits)
    kind = helper.tensor_dtype_to_np_dtype(onnx.TensorProto.INT4 if bits == 4 else onnx.TensorProto.INT8)
    for part, array in (("integers", data.astype(kind)), ("scale", scale), ("zero_point", np.zeros(len(scale), kind))):
        graph.initializer.append(numpy_helper.from_array(array, f"{name}.{part}"))
    yield helper.make_node(
        "DequantizeLinear", [f"{name}.{part}" for part in ("integers", "scale", "zero_point")], [name], name=f"{name}.dequantized", axis=0
    )


def with_deformed_weights(model: onnx.ModelProto, bits: int) -> onnx.ModelProto:
    """What quantize_static leaves as it was: weights of DeformConv are quantized, and nothing is rounded that has integers for its steps.
    Changes ``model``."""
    graph = model.graph
    names = [node.input[1] for node in graph.node if node.op_type == "DeformConv"]
    weights = {i.name: i for i in graph.initializer if i.name in names}
    rounded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Round"}
    before, after = list[onnx.NodeProto](), [node for node in graph.node if node.op_type != "Round"]
    for name, initializer in weights.items():
        before += _dequantized(name, numpy_helper.to_array(initializer), bits, graph)
        graph.initializer.remove(initializer)
    for node in after:
        node.input[:] = [rounded.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend([*before, *after])
    return model


def write(name: str, bits: int) -> Path:
    """The QDQ network of one of FLOAT_MODELS, with weights of so many bits."""
    source, target = onnx.load(FLOAT_MODELS[name]), qdq_model(name, bits)
    quantized = static(
        source,
        ({"image": scene.image[None]} for scene in scenes("calibration", CALIBRATION_SCENES)),
        op_types_to_quantize=["Conv", "Relu", "Resize", "Add", "Sigmoid"],
        extra_options={"TensorQuantOverrides": overrides(source, bits)},
    )
    onnx.save(with_detections(with_deformed_weights(quantized, bits)), target)
    return target


def main() -> None:
    for name in FLOAT_MODELS:
        for bits in WEIGHT_BITS:
            path = write(name, bits)
            print(f"{path} written: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
