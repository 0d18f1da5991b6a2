"""The detections of the example's maps: boxes in pixels of the image."""

import numpy as np
import onnx

from ..detections import Decoder
from .data import STRIDE

DETECTIONS = 20
BOX_STEP = 2.0**-6  # pixels: of a quantized box, int16
OUTPUTS = "scores", "classes", "boxes"


def with_detections(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its maps ``hm`` [1, CLASSES, H, W] and ``box`` [1, 4, H, W] made DETECTIONS detections: ``scores`` and ``classes``
    [1, DETECTIONS], ``boxes`` [1, DETECTIONS, 4], in no order, with scores of 0 where fewer were found."""
    classes, height, width = (d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim[1:])
    decoder = Decoder(model, (classes, height, width))
    pixel = decoder.largest(DETECTIONS)
    y, x = np.mgrid[:height, :width].reshape(2, -1) * float(STRIDE)
    corners = decoder.constant("corners", np.stack([x, y, x, y], axis=1).astype(np.float32))
    near = decoder.near("box", 4, pixel, "box_near")
    corner = decoder.quantized_as("box", decoder.add("Gather", corners, pixel, results=("corner_of",)), "corner")
    decoder.quantized_as("box", decoder.add("Add", near, corner, results=("boxes_real",)), "boxes")
    shapes = (1, DETECTIONS), (1, DETECTIONS), (1, DETECTIONS, 4)
    return decoder.finished(dict(zip(OUTPUTS, shapes, strict=True)), {"classes"})
