"""A board's pins."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib.io import Buffer


def buffered(m: Module, direction: str, port: Any) -> Any:
    """A port's buffer, as a part of the module."""
    buffer = Buffer(direction, port)
    m.submodules += buffer
    return buffer
