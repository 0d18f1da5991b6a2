"""What it costs that offsets of deformable convolutions are not where the network says."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from numpy.typing import NDArray

from ...rtl.arch.deform import FRACTION_BITS
from ..executor import dequantize_output, execute
from ..frontend import ModelError, import_model
from ..frontend.deform import EXACT, Offsets
from ..graph import Graph
from .error import Error, errors


def cost_of_moved(model: Path, allowed: Offsets, samples: Iterable[Mapping[str, NDArray]], *, lanes: int) -> dict[str, Error]:
    """Of each output, over the samples: the integer executor with the offsets ``allowed``, against it with those of the network.

    lanes: see `executor.execute`. Raises ModelError where the network can't be imported.
    """
    moved, unmoved = import_model(model, allowed), _unmoved(model)
    return errors((_outputs(unmoved, one, lanes), _outputs(moved, one, lanes)) for one in samples)


def _unmoved(model: Path) -> Graph:
    """With offsets exact, or, where the engine has no such steps, in its finest ones; and without a bound."""
    try:
        return import_model(model, EXACT)
    except ModelError:
        return import_model(model, Offsets(fraction=FRACTION_BITS))


def _outputs(graph: Graph, arrays: Mapping[str, NDArray], lanes: int) -> dict[str, NDArray]:
    values = execute(graph, arrays, lanes=lanes)
    return {port.name: dequantize_output(port, values[port.tensor.name]) for port in graph.outputs}
