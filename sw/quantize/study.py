"""A float network with its samples, on the way to be quantized: each step runs it, and gives what follows from what was seen."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import version_converter

from ..frontend.onnx_file import OnnxModel, converted
from .budget import harms_of, within
from .layers import Layer, layers_of
from .observe import Arrays, observed
from .offsets import OffsetSteps
from .plan import plan_of
from .ranges import Ranges, histograms, range_of
from .recipe import Recipe
from .runtime import naming
from .samples import Samples, Track
from .smooth import Spans, smoothed
from .weights import KIB, Weights, groups_of, of_four_bits, weight_bytes

INT4_OPSET, INT4_IR = 21, 10  # the first that have it


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """source: the file that the network is of."""

    source: Path
    proto: onnx.ModelProto
    samples: Samples
    track: Track

    @cached_property
    def model(self) -> OnnxModel:
        return converted(self.proto)

    def run(self, names: Iterable[str], text: str) -> Iterator[dict[str, NDArray]]:
        """These tensors of each sample."""
        return observed(self.source, self.proto, names, self.track(self.samples, text, len(self.samples)))

    def with_int4(self) -> "Study":
        """Of an opset that has weights of 4 bits. Raises RuntimeError where onnx can't convert it."""
        opset = next(o for o in self.proto.opset_import if o.domain in ("", "ai.onnx"))
        with naming(self.source):
            proto = self.proto if opset.version >= INT4_OPSET else version_converter.convert_version(self.proto, INT4_OPSET)
        proto.ir_version = max(proto.ir_version, INT4_IR)
        return replace(self, proto=proto)

    def smoothed(self, alpha: float) -> "Study":
        """With channels rescaled."""
        spans = Spans(self.model, self._shapes()).all()
        axes = {reader.layer.source: 1 if reader.layer.node.op_type == "Conv" else -1 for span in spans for reader in span.readers}
        largest = dict.fromkeys(axes, np.zeros(1))
        for arrays in self.run(axes, "channels"):
            for name, array in arrays.items():
                channels = np.moveaxis(np.abs(array), axes[name], -1)
                largest[name] = np.maximum(largest[name], channels.reshape(-1, channels.shape[-1]).max(axis=0))
        return replace(self, proto=smoothed(self.proto, spans, largest, alpha))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors where they are known."""
        graph = onnx.shape_inference.infer_shapes(self.proto, strict_mode=True).graph
        found = {i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in (*graph.value_info, *graph.output)}
        return {name: shape for name, shape in found.items() if all(shape)}

    def ranges(self, kind: Ranges, offsets: Sequence[OffsetSteps]) -> dict[str, tuple[float, float]]:
        """Of the int8 tensors that don't have that of all that was seen."""
        if kind is Ranges.MINMAX:
            return {}
        model = self.model
        plan = plan_of(model, offsets)
        exact = {name for steps in offsets for name in (steps.path.source, steps.again)}
        marked = dict.fromkeys(name for names in plan.marked.values() for name in names)
        names = [name for name in marked if name not in {*model.constants, *plan.wide, *plan.alike, *exact}]

        def runs() -> Iterator[Arrays]:
            for arrays in self.run(names, "ranges"):
                yield {name: array for name, array in arrays.items() if array.dtype.kind == "f"}

        return {name: range_of(histogram, kind) for name, histogram in histograms(runs).items()}

    def weights(self, recipe: Recipe, wanted: Sequence[Arrays]) -> dict[str, Weights]:
        """Those of 4 bits. wanted: the outputs of each sample. Raises ValueError where even 4 bits are more than ``recipe`` allows."""
        layers = layers_of(self.model)
        groups = {name: groups_of(layer, recipe.weight_group) for name, layer in layers.items()}
        sizes = {name: (weight_bytes(layer, 4, groups[name]), weight_bytes(layer, 8, 1)) for name, layer in layers.items()}
        most = math.inf if recipe.weight_kib is None else recipe.weight_kib * KIB
        least = sum(small for small, _ in sizes.values())
        if least > most:
            raise ValueError(f"{self.source}: weights of 4 bits are {least / KIB:,.1f} KiB, more than {most / KIB:,.1f}")
        products = self._products(layers)
        found = {
            name: of_four_bits(layer, groups[name], products.get(name))
            for name, layer in self.track(layers.items(), "weights", len(layers))
        }
        if recipe.weight_kib is None:
            return found
        changed = {name: layers[name].shaped(weights.matrix).astype(layers[name].array.dtype) for name, weights in found.items()}
        harms = harms_of(self.source, self.proto, changed, list(self.samples), wanted)
        eight = within(sizes, dict(self.track(harms, "sensitivity", len(layers))), most)
        return {name: weights for name, weights in found.items() if name not in eight}

    def _products(self, layers: Mapping[str, Layer]) -> dict[str, NDArray[np.float64]]:
        """As `of_four_bits` takes them."""
        found: dict[str, NDArray[np.float64]] = {}
        for arrays in self.run({layer.source for layer in layers.values()}, "operands"):
            for name, layer in layers.items():
                rows = layer.operands(arrays[layer.source])
                if rows is not None:
                    found[name] = found.get(name, 0) + rows.transpose(0, 2, 1) @ rows
        return found
