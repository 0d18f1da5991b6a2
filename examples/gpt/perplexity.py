"""Perplexity on the held-out text of the float network, the quantized one and the integer executor: `nox -s gpt`.

Writes its table and a text that the executor generated to README.md of this folder.
"""

from collections.abc import Mapping

import numpy as np
from celosia.gen.pages import write_section
from celosia.sw.frontend import import_model
from numpy.typing import NDArray
from rich.progress import track

from .generate import generate
from .model import Logits, integer_executor, onnx_runtime
from .quantize import CONTEXT, FLOAT_MODEL, QDQ_MODEL
from .text import HERE, read_part, windows

PROMPT, LENGTH = "And the king said unto Esther, ", 300  # characters
LEGEND = """
{windows} windows of {context} characters of test.txt, each run alone: of each the characters after the first are foretold from those
before them in the window, {characters:,} in all. None of test.txt was trained or calibrated on. gpt_qdq.onnx has {size:,} bytes; a
window takes {macs:,} multiply-accumulates.
"""
WRITTEN = f"How the integer executor goes on after `{PROMPT}`, the likeliest character after the other, {LENGTH} of them:"


def surprise(logits: NDArray[np.float32], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each token after the first, in nats. logits: [T, vocabulary] of [T] tokens."""
    x = logits[:-1].astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(x)), tokens[1:]]


def table(networks: Mapping[str, Logits], text: NDArray[np.int64]) -> list[str]:
    """A row for each network. text: windows, [N, T]."""
    lines = ["| network | perplexity of a character | characters foretold rightly |", "|---|---:|---:|"]
    for name, logits in networks.items():
        found = [(surprise(x := logits(window), window), x[:-1].argmax(axis=1) == window[1:]) for window in track(text, name)]
        nats, right = (np.mean(values) for values in zip(*found, strict=True))
        lines.append(f"| {name} | {np.exp(nats):.4f} | {100 * right:.2f} % |")
    return lines


def main() -> None:
    text, executor = windows(read_part("test"), CONTEXT), integer_executor(QDQ_MODEL)
    networks = {
        "float, ONNX Runtime": onnx_runtime(FLOAT_MODEL),
        "quantized, ONNX Runtime": onnx_runtime(QDQ_MODEL),
        "quantized, integer executor": executor,
    }
    facts = {"windows": len(text), "context": CONTEXT, "characters": text[:, 1:].size, "macs": import_model(QDQ_MODEL).macs()}
    about = LEGEND.format(size=QDQ_MODEL.stat().st_size, **facts)
    said = (PROMPT + generate(executor, PROMPT, LENGTH)).replace("\n", "\n> ")
    write_section(HERE / "README.md", "gpt", "\n".join([about, *table(networks, text), "", WRITTEN, "", f"> {said}"]))


if __name__ == "__main__":
    main()
