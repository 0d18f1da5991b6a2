"""`celosia quantize`: a float ONNX file and samples of its inputs to a QDQ file."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..frontend import ModelError, import_model
from ..frontend.onnx_file import checked, converted
from .error import Error, errors
from .offsets import OffsetPath, OffsetSteps, offset_path, steps_for
from .plan import producers_of
from .prepare import prepared, refuse_quantized
from .runtime import naming, session
from .samples import T, Track, read_samples
from .static import quantized

Outputs = Mapping[str, NDArray]


def silently(items: Iterable[T], text: str, total: int) -> Iterable[T]:
    """Shows nothing."""
    return items


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """What became of a network. offsets: of each DeformConv. errors: of the outputs over all samples, against the float network."""

    samples: int
    offsets: Sequence[OffsetSteps]
    errors: Mapping[str, Error]


def quantize_network(source: Path, calibration: Path, target: Path, track: Track = silently) -> Quantization:
    """Write the QDQ network of the float network in ``source``, with the ranges of the samples in ``calibration`` (`read_samples`).

    Raises
    ------
    ModelError
        If the file can't be read, or is quantized already, or what it holds can't be imported once it is quantized.
    ValueError
        If the samples are not the network's.
    RuntimeError
        If ONNX Runtime can't run or quantize it.

    Nothing is written then.
    """
    if not target.parent.is_dir() or target.is_dir():
        raise ValueError(f"{target} must be a file in a folder that there is")
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the float network itself: give another file")
    proto, model = checked(source)
    try:
        refuse_quantized(model)
    except ValueError as e:
        raise ModelError(f"{source}: {e}") from None
    samples = read_samples(calibration, model.inputs)
    ready = prepared(proto, model)
    model = converted(ready)
    producers = producers_of(model)
    paths = [offset_path(node, model, producers) for node in model.nodes if node.op_type == "DeformConv"]
    outputs, offsets = _observed(source, proto, paths, track(samples, "float network", len(samples)))
    with naming(source):
        made = quantized(ready, model, track(samples, "calibrating", len(samples)), offsets=offsets)
    with _replacing(target) as part:
        onnx.save(made, part)
        _import(part, source)
        with naming(source):
            network, names = session(part), list(model.outputs)
            found = (_outputs(network.run(names, one), names) for one in track(samples, "quantized network", len(samples)))
            out = errors(zip(outputs, found, strict=True))
    return Quantization(samples=len(samples), offsets=offsets, errors=out)


def _observed(
    source: Path, proto: onnx.ModelProto, paths: Sequence[OffsetPath], samples: Iterable[Mapping[str, NDArray]]
) -> tuple[list[Outputs], list[OffsetSteps]]:
    """The float network's outputs for each sample, and steps for the offsets that it had."""
    names, used = [output.name for output in proto.graph.output], list(dict.fromkeys(path.used for path in paths))
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    shown.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in used if name not in names)
    with naming(source):
        network = session(shown.SerializeToString())
    outputs, ranges = list[Outputs](), dict.fromkeys(used, (math.inf, -math.inf))
    for place, sample in enumerate(samples):
        with naming(source):
            run = _outputs(network.run([*names, *used], dict(sample)), [*names, *used])
        wrong = [name for name, array in run.items() if not np.isfinite(array).all()]
        if wrong:
            raise ValueError(f"{source}: {wrong[0]} of sample {place} is not finite")
        ranges = {name: (min(low, float(run[name].min())), max(high, float(run[name].max()))) for name, (low, high) in ranges.items()}
        outputs.append({name: run[name] for name in names})
    return outputs, steps_for([(path, *ranges[path.used]) for path in paths])


def _outputs(arrays: Sequence[object], names: Sequence[str]) -> Outputs:
    return dict(zip(names, map(np.asarray, arrays), strict=True))


def _import(path: Path, source: Path) -> None:
    """Raises ModelError, which names the float network, where the importer can't take the quantized one."""
    try:
        import_model(path)
    except ModelError as e:
        raise ModelError(f"{source}: quantized, it can't be compiled: {str(e).removeprefix(f'{path}: ')}") from e


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A file that takes the target's place at the end, at once; after an error neither changes."""
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
