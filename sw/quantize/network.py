"""`celosia quantize`: a float ONNX file and samples of its inputs to a QDQ file."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from ..frontend import ModelError, import_model
from ..frontend.onnx_file import OnnxModel, checked, converted
from .error import Error, errors
from .headroom import with_headroom
from .layers import layers_of
from .observe import Arrays, observed
from .offsets import OffsetPath, OffsetSteps, offset_path, steps_for
from .plan import producers_of
from .prepare import prepared, refuse_quantized
from .recipe import Recipe
from .report import LayerReport, Quantization
from .runtime import naming
from .samples import T, Track, read_samples
from .static import quantized
from .study import Study
from .weights import replace_weights


def silently(items: Iterable[T], text: str, total: int) -> Iterable[T]:
    """Shows nothing."""
    return items


PLAIN = Recipe()


def quantize_network(
    source: Path,
    calibration: Path,
    target: Path,
    recipe: Recipe = PLAIN,
    track: Track = silently,
) -> Quantization:
    """Write the QDQ network of the float network in ``source``, with the ranges of the samples in ``calibration`` (`read_samples`).

    Raises
    ------
    ModelError
        If the file can't be read, or is quantized already, or what it holds can't be imported once it is quantized.
    ValueError
        If the samples are not the network's, or its weights don't fit the recipe's size.
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
    study = Study(source=source, proto=proto, samples=read_samples(calibration, model.inputs), track=track)
    ready = prepared(proto, model)
    outputs, offsets = _observed(study, _offset_paths(converted(ready)))
    study = replace(study, proto=ready)
    if recipe.has_four_bits:
        study = study.with_int4()
    if recipe.smooth is not None:
        study = study.smoothed(recipe.smooth)
    weights = study.weights(recipe, outputs) if recipe.has_four_bits else {}
    ranges = study.ranges(recipe.ranges, offsets)
    layers = layers_of(study.model)
    with naming(source):
        calibrating = track(study.samples, "calibrating", len(study.samples))
        made = with_headroom(quantized(study.proto, study.model, calibrating, offsets=offsets, ranges=ranges))
    with _replacing(target) as part:
        onnx.save(replace_weights(made, layers, weights), part)
        _import(part, source)
        found = _errors(study, part, outputs, [layer.result for layer in layers.values()])
    return Quantization(
        samples=len(study.samples),
        offsets=offsets,
        errors={name: found[name] for name in model.outputs},
        layers=[LayerReport.of(layer, weights.get(name), found[layer.result]) for name, layer in layers.items()],
    )


def _offset_paths(model: OnnxModel) -> list[OffsetPath]:
    producers = producers_of(model)
    return [offset_path(node, model, producers) for node in model.nodes if node.op_type == "DeformConv"]


def _observed(study: Study, paths: Sequence[OffsetPath]) -> tuple[list[Arrays], list[OffsetSteps]]:
    """The float network's outputs for each sample, and steps for the offsets that it had."""
    names, used = [output.name for output in study.proto.graph.output], list(dict.fromkeys(path.used for path in paths))
    outputs, ranges = list[Arrays](), dict.fromkeys(used, (math.inf, -math.inf))
    for place, run in enumerate(study.run([*names, *used], "float network")):
        wrong = [name for name, array in run.items() if not np.isfinite(array).all()]
        if wrong:
            raise ValueError(f"{study.source}: {wrong[0]} of sample {place} is not finite")
        ranges = {name: (min(low, float(run[name].min())), max(high, float(run[name].max()))) for name, (low, high) in ranges.items()}
        outputs.append({name: run[name] for name in names})
    return outputs, steps_for([(path, *ranges[path.used]) for path in paths])


def _errors(study: Study, path: Path, outputs: Iterable[Arrays], results: Sequence[str]) -> dict[str, Error]:
    """Of the outputs and of the layers' results, of the quantized network in ``path``."""
    inside = [name for name in results if name not in study.model.outputs]
    run = observed(study.source, onnx.load(path), [*study.model.outputs, *inside], study.samples)
    wanted = ({**inner, **one} for inner, one in zip(study.run(inside, "quantized network"), outputs, strict=True))
    return errors(zip(wanted, run, strict=True))


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
