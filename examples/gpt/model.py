"""What computes the logits of a sequence of tokens: ONNX Runtime on a file, or the integer executor."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from celosia.rtl.arch.targets import DEFAULT_TARGET, TARGETS
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.quantize.runtime import session
from numpy.typing import NDArray

Logits = Callable[[NDArray[np.int64]], NDArray[np.float32]]  # of [T] tokens, [T, vocabulary]


def onnx_runtime(path: Path) -> Logits:
    network = session(path)
    return lambda tokens: np.asarray(network.run(["logits"], {"tokens": tokens[None]})[0])[0]


def integer_executor(path: Path) -> Logits:
    """Whose softmax adds as the default target's machine does."""
    graph, lanes = import_model(path), TARGETS[DEFAULT_TARGET].lanes
    (port,) = (port for port in graph.outputs if port.name == "logits")
    return lambda tokens: dequantize_output(port, execute(graph, {"tokens": tokens[None]}, lanes=lanes)[port.tensor.name])[0]
