"""Tensors inside of a float network, sample by sample, and what is kept of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .runtime import naming, session

Arrays = Mapping[str, NDArray]


def showing(proto: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """A copy that gives these tensors too."""
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    given = {output.name for output in proto.graph.output}
    shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in given)
    return shown


def observed(source: Path, proto: onnx.ModelProto, names: Iterable[str], samples: Iterable[Arrays]) -> Iterator[dict[str, NDArray]]:
    """The tensors ``names`` of each sample, inputs among them. Raises RuntimeError, which names the file ``source``, where ONNX Runtime
    can't run it."""
    names, inputs = list(dict.fromkeys(names)), {one.name for one in proto.graph.input}
    computed = [name for name in names if name not in inputs]
    with naming(source):
        network = session(showing(proto, computed).SerializeToString())
    for sample in samples:
        with naming(source):
            run = network.run(computed, dict(sample)) if computed else ()
        found = dict(zip(computed, map(np.asarray, run), strict=True))
        yield {name: found[name] if name in found else sample[name] for name in names}
