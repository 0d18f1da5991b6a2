"""Average precision of the detector's networks on scenes of the test part: `nox -s detector` writes README.md of this folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from celosia.gen.pages import write_section
from celosia.sw.quantize.runtime import session
from celosia.sw.report.detections import draw_boxes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from rich.progress import track
from typing_extensions import Self

from .data import CLASSES, SIZE, Scene, iou, scenes
from .decode import OUTPUTS, with_detections
from .quantize import FLOAT_MODELS, HERE, WEIGHT_BITS, qdq_model

SCENES, DRAWN = 400, 4
OVERLAP = 0.5  # from which on a box is one of the scene's: AP50


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Of a scene. scores, classes: [k]. boxes: [k, 4], as a scene's."""

    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]

    @classmethod
    def of(cls, outputs: Sequence[NDArray]) -> Self:
        """Of a network's OUTPUTS."""
        scores, classes, boxes = (array[0] for array in outputs)
        return cls(scores=scores, classes=classes, boxes=boxes)


def _matched(boxes: NDArray, scene_boxes: NDArray) -> NDArray[np.bool_]:
    """Of boxes [n, 4], the best first, which of them are the first to lie on a box of the scene."""
    hits, taken = np.zeros(len(boxes), bool), set[int]()
    if not len(scene_boxes):
        return hits
    for number, overlaps in enumerate(iou(boxes, scene_boxes)):
        best = int(overlaps.argmax())
        hits[number] = overlaps[best] >= OVERLAP and best not in taken
        taken |= {best} if hits[number] else set()
    return hits


def precision_of(kind: int, found: Sequence[Detections], scenes: Sequence[Scene]) -> float:
    """The area under precision over recall of one class, where precision is the largest at this recall or more (PASCAL VOC)."""
    scores, hits, there = list[NDArray](), list[NDArray](), 0
    for detections, scene in zip(found, scenes, strict=True):
        mine = np.flatnonzero((detections.classes == kind) & (detections.scores > 0))
        mine = mine[np.argsort(-detections.scores[mine], kind="stable")]
        of_scene = scene.boxes[scene.classes == kind]
        scores.append(detections.scores[mine])
        hits.append(_matched(detections.boxes[mine], of_scene))
        there += len(of_scene)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.cumsum(np.concatenate(hits)[order])
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    return float((precision * np.diff(right / there, prepend=0)).sum())


def average_precision(found: Sequence[Detections], scenes: Sequence[Scene]) -> float:
    """The mean over all classes."""
    return float(np.mean([precision_of(kind, found, scenes) for kind in range(CLASSES)]))


def onnx_runtime(model: bytes, examples: Sequence[Scene], what: str) -> list[Detections]:
    """What it detects on each scene."""
    network = session(model)
    return [Detections.of([np.asarray(x) for x in network.run(OUTPUTS, {"image": s.image[None]})]) for s in track(examples, what)]


def models(name: str) -> dict[str, bytes]:
    """Those of a network, float and quantized."""
    real = with_detections(onnx.load(FLOAT_MODELS[name])).SerializeToString()
    return {"float": real, **{f"W{bits}A8": qdq_model(name, bits).read_bytes() for bits in WEIGHT_BITS}}


def draw(examples: Sequence[Scene], found: Sequence[Detections], path: Path) -> None:
    """Scenes side by side, their boxes dotted, and those detected."""
    figure = Figure(figsize=(4 * len(examples), 4), layout="constrained")
    for axes, scene, detections in zip(figure.subplots(1, len(examples)), examples, found, strict=True):
        axes.imshow(scene.image[0], cmap="gray", extent=(0, SIZE, SIZE, 0))
        axes.set_axis_off()
        for left, top, right, bottom in scene.boxes:
            axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="white", linestyle=":"))
        draw_boxes(axes, detections.scores, detections.classes, detections.boxes)
    figure.savefig(path, dpi=55)


def main() -> None:
    examples = scenes("test", SCENES)
    found = {
        name: {kind: average_precision(onnx_runtime(model, examples, f"{name} {kind}"), examples) for kind, model in models(name).items()}
        for name in FLOAT_MODELS
    }
    drawn = examples[:DRAWN]
    draw(drawn, onnx_runtime(qdq_model("deformable", 4).read_bytes(), drawn, "drawing"), HERE / "scenes.png")
    lines = [f"| network | AP50, {' | AP50, '.join(found)} |", f"|---|{'---:|' * len(found)}"]
    lines += [f"| {kind} | {' | '.join(f'{100 * of[kind]:.1f} %' for of in found.values())} |" for kind in next(iter(found.values()))]
    digits = sum(len(scene.classes) for scene in examples)
    about = f"{len(examples)} test scenes with {digits:,} digits, in ONNX Runtime."
    write_section(HERE / "README.md", "detector", "\n".join([about, "", *lines]))


if __name__ == "__main__":
    main()
