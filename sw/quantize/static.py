"""quantize_static as Celosia wants it: int8 tensors, weights per output channel, and exact steps of offsets."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from ..frontend.onnx_file import OnnxModel
from .offsets import OffsetSteps
from .operators import registered
from .plan import Plan, plan_of
from .rewire import without


class Reader(CalibrationDataReader):
    """Hands out what the network is calibrated on, sample by sample: arrays by the inputs' names."""

    def __init__(self, samples: Iterable[Mapping[str, NDArray]]):
        self.samples = iter(samples)

    def get_next(self) -> dict[str, NDArray]:
        return dict(next(self.samples, {}))


def quantized(
    proto: onnx.ModelProto,
    model: OnnxModel,
    samples: Iterable[Mapping[str, NDArray]],
    *,
    offsets: Sequence[OffsetSteps] = (),
    symmetric: bool = False,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> onnx.ModelProto:
    """The QDQ network of a float one, whose nodes all have names. model: the same network. offsets: of each DeformConv. symmetric: int8
    tensors have zero points of 0, but for those that are hardly negative. ranges: of int8 tensors, others have that of the samples."""
    plan = plan_of(model, offsets)
    kinds = sorted({node.op_type for node in proto.graph.node})
    with registered(plan, kinds):
        out = static(
            proto,
            samples,
            op_types_to_quantize=kinds,
            nodes_to_exclude=list(plan.excluded),
            extra_options={
                "ActivationSymmetric": symmetric,
                "OpTypesToExcludeOutputQuantization": kinds,
                "TensorQuantOverrides": _overrides(proto, model, plan, offsets, symmetric, ranges or {}),
            },
        )
    rounds = [name for steps in offsets for name in steps.path.rounds]
    return without(out, rounds=rounds, clips=plan.clips)


def static(proto: onnx.ModelProto, samples: Iterable[Mapping[str, NDArray]], **options: Any) -> onnx.ModelProto:
    """What quantize_static makes of a network, with int8 tensors and weights per channel where the options say nothing else."""
    int8 = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    with TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder, "float.onnx"), Path(folder, "quantized.onnx")
        onnx.save(proto, source)
        quantize_static(source, target, Reader(samples), quant_format=QuantFormat.QDQ, per_channel=True, **int8, **options)
        return onnx.load(target)


def _overrides(
    proto: onnx.ModelProto,
    model: OnnxModel,
    plan: Plan,
    offsets: Iterable[OffsetSteps],
    symmetric: bool,
    ranges: Mapping[str, tuple[float, float]],
) -> dict[str, list[dict[str, Any]]]:
    """Of the tensors that are not int8 of the range that was seen."""
    found: dict[str, dict[str, Any]] = {
        name: {"quant_type": QuantType.QInt8, "rmin": np.float32(low), "rmax": np.float32(high)} for name, (low, high) in ranges.items()
    }
    integers = {output.name for output in proto.graph.output if output.type.tensor_type.elem_type != TensorProto.FLOAT}
    found |= {
        node.outputs[0]: {"quant_type": QuantType.QInt8, "symmetric": False}
        for node in model.nodes
        if symmetric and node.op_type in ("Gelu", "Softmax")
    }
    found |= {name: {"quant_type": QuantType.QInt16, "symmetric": True} for name in plan.wide - integers}
    for steps in offsets:
        exact = {
            "quant_type": QuantType.QInt8,
            "scale": np.array(steps.step / steps.path.factor, np.float32),
            "zero_point": np.array(0, np.int8),
        }
        found |= {name: exact for name in (steps.path.source, steps.again) if name}
    return {name: [override] for name, override in found.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that quantize_static logs, and without warnings of ranges that are infinite, as behind a mask, which no tensor
    has that is quantized."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with np.errstate(invalid="ignore"):
            yield
    finally:
        logger.setLevel(level)
