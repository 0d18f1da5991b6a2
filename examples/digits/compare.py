"""Hold every operator of the demo network against ONNX Runtime on all test images, and write the table to docs/accuracy.md."""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from celosia.rtl.arch.targets import DEFAULT_TARGET, TARGETS
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.reference import LayerDifference, Reference, compare_layers

from .data import load_split

HERE = Path(__file__).parent
MARK = "<!-- written by nox -s accuracy -->"


def total(parts: list[LayerDifference]) -> LayerDifference:
    """The same over several images."""
    return LayerDifference(
        operator=parts[0].operator,
        elements=sum(p.elements for p in parts),
        equal=sum(p.equal for p in parts),
        within_one=sum(p.within_one for p in parts),
        worst=max(p.worst for p in parts),
    )


def main(page: Path) -> None:
    model = HERE / "digits_qdq.onnx"
    graph = import_model(model)
    lanes = TARGETS[DEFAULT_TARGET].lanes
    reference = Reference(model, graph)
    images, labels = load_split("test")
    found: dict[str, list[LayerDifference]] = defaultdict(list)
    right = agree = 0
    for image, label in zip(images, labels, strict=True):
        arrays = {graph.inputs[0].name: image[None]}
        outputs, layers = reference.run(arrays)
        for difference in compare_layers(graph, arrays, layers, lanes=lanes):
            found[difference.operator].append(difference)
        port = graph.outputs[0]
        mine = int(execute(graph, arrays, lanes=lanes)[port.tensor.name].argmax())
        right += mine == label
        agree += mine == int(np.argmax(outputs[port.name]))
    formats = {op.name: (type(op).__name__, op.outputs[0].tensor.bits) for op in graph.operators}
    lines = [MARK, "", "| operator | kind | output | equal | within 1 step | worst |", "|---|---|---|---|---|---|"]
    for name, parts in found.items():
        t = total(parts)
        kind, bits = formats[name]
        lines.append(f"| {name} | {kind} | int{bits} | {t.equal / t.elements:.2%} | {t.within_one / t.elements:.2%} | {t.worst} |")
    lines += ["", f"{len(images)} images. Left to run freely, the executor classifies {right / len(images):.2%} rightly and agrees"]
    lines += [f"with ONNX Runtime on {agree / len(images):.2%} of the classes.", ""]
    text = page.read_text()
    page.write_text(text[: text.index(MARK)] + "\n".join(lines))
    print(f"{page} written")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
