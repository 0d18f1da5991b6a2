"""The host side of Celosia: importer, compiler, golden models, driver and reports. Needs no HDL tools."""

from .api import Pruning, compile_model, open_block, open_device

__all__ = ["Pruning", "compile_model", "open_block", "open_device"]
