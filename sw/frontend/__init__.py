"""From a QDQ ONNX file to the integer graph of sw/graph.py."""

from .importer import import_model
from .onnx_file import ModelError

__all__ = ["ModelError", "import_model"]
