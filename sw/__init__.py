"""The host side of Celosia: importer, compiler, golden models, driver and reports. Needs no HDL tools."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compiling import compile_model
    from .devices import open_block, open_device
    from .pruning import Pruning

__all__ = ["Pruning", "compile_model", "open_block", "open_device"]
_HOMES = {"Pruning": "pruning", "compile_model": "compiling", "open_block": "devices", "open_device": "devices"}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: what drives a device needs none of what compiles."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
