"""ONNX Runtime on a network, as it is written: with its own graph optimizations off."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime


def session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """Of the file, or what it holds."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # what it raises says the same
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@contextmanager
def naming(place: Path) -> Iterator[None]:
    """Whatever ONNX Runtime raises, which has no common type, as a RuntimeError of one line that names the place."""
    try:
        yield
    except Exception as e:
        raise RuntimeError(f"{place}: ONNX Runtime: {str(e).strip().splitlines()[0]}") from e
