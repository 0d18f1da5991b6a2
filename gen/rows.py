"""Blocks that a board can send rows through."""

from collections.abc import Mapping
from typing import Any

from amaranth.lib import wiring

from ..rtl.arch.blocks import RowCircuit
from ..rtl.arch.checks import ParameterError
from ..sw.block import BlockManifest

_PORTS = {"i", "o", "errors", "clear"}


def refusal(name: str, circuit: Any, block: wiring.Component) -> str:
    """Why no board can send rows through the block called ``name``; "" where one can."""
    ports = block.signature.members.keys()
    if "parameters" in ports and ports - {"parameters"} <= _PORTS and hasattr(circuit, "out"):
        return f"{name} without scales gets its parameters at run time: for a board build in scales"
    if not {"i", "o"} <= ports <= _PORTS or not hasattr(circuit, "out"):
        return f"{name} can't be on a board alone, only a block with one stream in, one out, and a result for each element"
    return ""


def row_manifest(name: str, circuit: Any, scales: Mapping[str, float], block: wiring.Component) -> BlockManifest:
    """Of a block with built-in scales, for its driver. Raises ParameterError."""
    if why := refusal(name, circuit, block):
        raise ParameterError(why)
    return BlockManifest(
        name=name,
        parameters=circuit.as_dict(),
        scales=dict(scales),
        source=circuit.source,
        out=circuit.out,
        row_elements=circuit.row_elements if isinstance(circuit, RowCircuit) else 0,
    )
