"""Boxes that a network found, drawn on its input."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .svg import svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCORES, CLASSES, BOXES = OUTPUTS = "scores", "classes", "boxes"  # names of a detector's outputs
LEAST_SCORE = 0.3  # of what is drawn


def is_image(array: NDArray) -> bool:
    """[1, channels, height, width], grey or of three colours."""
    return array.ndim == 4 and array.shape[:2] in ((1, 1), (1, 3)) and min(array.shape[2:]) > 1


def are_detections(outputs: Mapping[str, NDArray]) -> bool:
    """Scores and classes [1, k], and boxes [1, k, 4]."""
    if not set(OUTPUTS) <= set(outputs):
        return False
    (batch, *count) = outputs[SCORES].shape
    return batch == 1 and len(count) == 1 and [outputs[name].shape for name in (CLASSES, BOXES)] == [(1, *count), (1, *count, 4)]


def draw_boxes(axes: "Axes", scores: NDArray, classes: NDArray, boxes: NDArray) -> None:
    """Of k likely detections on an image, with class and score: [k], [k] and [k, 4]."""
    from matplotlib.patches import Rectangle

    for k in np.argsort(scores):  # the likeliest on top
        score, kind, (left, top, right, bottom) = scores[k], classes[k], boxes[k]
        if score >= LEAST_SCORE:
            colour = f"C{int(kind)}"
            axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.5))
            label = {"facecolor": colour, "edgecolor": colour, "pad": 1.0}
            axes.text(left, top, f"{int(kind)} {score:.2f}", color="white", fontsize=8, ha="left", va="top", clip_on=True, bbox=label)


def picture(inputs: Mapping[str, NDArray], outputs: Mapping[str, NDArray]) -> str:
    """SVG of the image with a box for each detection, its class and score beside it; nothing where the only input is no image, or the
    outputs are no detections. Boxes are left, top, right and bottom edge in pixels of the image."""
    image, *others = inputs.values()
    if others or not is_image(image) or not are_detections(outputs):
        return ""
    from matplotlib.figure import Figure

    pixels = np.moveaxis(image[0].astype(np.float64), 0, -1)
    height, width = pixels.shape[:2]
    figure = Figure(figsize=(6, 6 * height / width), layout="constrained")
    axes = figure.subplots()
    reach = max(float(np.ptp(pixels)), 1e-9)
    axes.imshow(((pixels - pixels.min()) / reach).squeeze(), cmap="gray", extent=(0, width, height, 0))
    axes.set_axis_off()
    draw_boxes(axes, *(outputs[name][0] for name in OUTPUTS))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return svg_of(figure)
