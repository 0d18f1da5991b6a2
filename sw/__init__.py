"""The host side of Celosia: importer, compiler, golden models, driver and reports. Needs no HDL tools."""

from .api import compile_model, open_device

__all__ = ["compile_model", "open_device"]
