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
    shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(names) if name not in given)
    return shown


def observed(source: Path, proto: onnx.ModelProto, names: Collection[str], samples: Iterable[Arrays]) -> Iterator[dict[str, NDArray]]:
    """The tensors ``names`` of each sample. Raises RuntimeError, which names the file ``source``, where ONNX Runtime can't run it."""
    with naming(source):
        network = session(showing(proto, names).SerializeToString())
    wanted = list(dict.fromkeys(names))
    for sample in samples:
        with naming(source):
            found = network.run(wanted, dict(sample))
        yield dict(zip(wanted, map(np.asarray, found), strict=True))
