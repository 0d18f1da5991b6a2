"""The example's detector: its scenes, its average precision, and what it decodes, in ONNX Runtime and in the integer executor."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.reference import Reference, compare_layers
from celosia.sw.quantize.runtime import session
from onnx_models import ZERO, Net

from examples.detector.data import CLASSES, SIZE, STRIDE, Scene, iou, scenes
from examples.detector.decode import BOX_STEP, DETECTIONS, OUTPUTS, with_detections
from examples.detector.evaluate import Detections, average_precision, onnx_runtime
from examples.detector.quantize import FLOAT_MODELS, WEIGHT_BITS, WHOLE, qdq_model

LOWEST = np.int8(-128)


def small(side: int = 8) -> onnx.ModelProto:
    """Heat and boxes from an image by a convolution each, then detections."""
    net = Net()
    x = net.quantized(net.input(1, 1, side, side), 1 / 255, LOWEST)
    heat, box = (_convolved(net, x, channels) for channels in (CLASSES, 4))
    hm = net.quantized(net.op("Sigmoid", net.quantized(heat, 0.05)), 1 / 256, LOWEST)
    model = net.model(hm, net.quantized(box, BOX_STEP, np.int16(0)))
    names = dict(zip((info.name for info in model.graph.output), ("hm", "box"), strict=True))
    for node in model.graph.node:
        node.input[:], node.output[:] = ([names.get(name, name) for name in values] for values in (node.input, node.output))
    for info in (*model.graph.output, *model.graph.value_info):
        info.name = names.get(info.name, info.name)
    return with_detections(model)


def _convolved(net: Net, x: str, channels: int) -> str:
    integers = net.random.integers(-128, 128, (channels, 1, 3, 3)).astype(np.int8)
    weights = net.op("DequantizeLinear", net.constant(integers), net.constant(np.float32(0.02)), net.constant(ZERO))
    return net.op("Conv", x, weights, net.normal(channels, scale=2.0), kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def as_found(scene: Scene) -> Detections:
    """Detections that are right."""
    count = len(scene.classes)
    return Detections(scores=np.linspace(0.9, 0.5, count, dtype=np.float32), classes=scene.classes, boxes=scene.boxes)


@pytest.fixture(scope="module")
def examples() -> list[Scene]:
    return scenes("test", 40)


def test_scenes(examples: list[Scene]) -> None:
    assert all((a.image == b.image).all() for a, b in zip(examples, scenes("test", 3), strict=False))
    assert set(np.concatenate([scene.classes for scene in examples])) == set(range(CLASSES))
    for scene in examples:
        assert scene.image.shape == (1, SIZE, SIZE)
        assert scene.image.min() >= 0
        assert scene.image.max() <= 1
        assert ((scene.boxes[:, 2:] > scene.boxes[:, :2]) & (scene.boxes[:, :2] >= 0) & (scene.boxes[:, 2:] <= SIZE)).all()
    assert not (scenes("train", 1)[0].image == scenes("calibration", 1)[0].image).all()


def test_iou() -> None:
    boxes = np.array([[0, 0, 4, 4], [2, 0, 6, 4], [4, 4, 5, 5]], np.float32)
    assert iou(boxes, boxes) == pytest.approx(np.array([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]))


def test_average_precision(examples: list[Scene]) -> None:
    right = [as_found(scene) for scene in examples]
    nothing = [Detections(scores=d.scores[:0], classes=d.classes[:0], boxes=d.boxes[:0]) for d in right]
    beside = [Detections(scores=d.scores, classes=d.classes, boxes=d.boxes + SIZE) for d in right]
    twice = [
        Detections(
            scores=np.concatenate([d.scores, d.scores / 10]).astype(np.float32),
            classes=np.tile(d.classes, 2),
            boxes=np.concatenate([d.boxes, d.boxes]),
        )
        for d in right
    ]
    assert average_precision(right, examples) == pytest.approx(1)
    assert average_precision(twice, examples) == pytest.approx(1)  # the second ones are less sure than all of the first
    assert average_precision(nothing, examples) == average_precision(beside, examples) == 0
    half = [d if i % 2 else n for i, (d, n) in enumerate(zip(right, nothing, strict=True))]
    assert 0.3 < average_precision(half, examples) < 0.7


def test_a_wrong_one_that_is_surer_halves_precision() -> None:
    box = np.array([[10, 10, 30, 30]], np.float32)
    scene = [Scene(image=np.zeros((1, SIZE, SIZE), np.float32), classes=np.array([kind]), boxes=box) for kind in range(CLASSES)]
    found = [
        Detections(scores=np.array([0.9, 0.5], np.float32), classes=s.classes.repeat(2), boxes=np.concatenate([box + 50, box]))
        for s in scene
    ]
    assert average_precision(found, scene) == pytest.approx(0.5)


def test_what_is_decoded(tmp_path: Path) -> None:
    path, image = tmp_path / "net.onnx", np.random.default_rng(2).random((1, 1, 8, 8)).astype(np.float32)
    onnx.save(small(), path)
    graph = import_model(path)
    values = execute(graph, {graph.inputs[0].name: image}, lanes=8)
    found = {port.name: dequantize_output(port, values[port.tensor.name])[0] for port in graph.outputs}
    expected = dict(zip(OUTPUTS, (np.asarray(x)[0] for x in session(path).run(OUTPUTS, {graph.inputs[0].name: image})), strict=True))
    assert found["boxes"].shape == (DETECTIONS, 4)
    rows, wanted = (np.column_stack([of["scores"], of["classes"], of["boxes"]]) for of in (found, expected))
    rows, wanted = (x[np.lexsort(x.T)] for x in (rows, wanted))
    assert (rows[:, :2] == wanted[:, :2]).all()
    assert np.abs(rows - wanted).max() <= 2 * BOX_STEP
    assert np.abs(found["boxes"]).max() > STRIDE


@pytest.mark.parametrize("bits", WEIGHT_BITS)
@pytest.mark.parametrize("name", FLOAT_MODELS)
def test_each_layer_is_that_of_onnx_runtime(name: str, bits: int, examples: list[Scene]) -> None:
    path = qdq_model(name, bits)
    graph = import_model(path)
    kinds = [type(op).__name__ for op in graph.operators]
    assert kinds.count("Deform") == (3 if name == "deformable" else 0)
    assert kinds.count("TopK") == kinds.count("Gather") == kinds.count("Fetch") == 1
    weights = [t.bits for t in graph.tensors.values() if t.data is not None and "weight" in t.name]
    assert weights.count(bits) >= len(weights) - len(WHOLE)
    assert graph.macs() <= 8_000_000
    arrays = {"image": examples[0].image[None]}
    _, layers = Reference(path, graph).run(arrays)
    differences = list(compare_layers(graph, arrays, layers, lanes=8))
    assert len(differences) > len(kinds) - 10
    assert max(difference.worst for difference in differences) <= 2


def test_what_the_executor_finds(examples: list[Scene]) -> None:
    path = qdq_model("deformable", 4)
    graph = import_model(path)
    found = []
    for scene in examples:
        values = execute(graph, {"image": scene.image[None]}, lanes=8)
        outputs = {port.name: dequantize_output(port, values[port.tensor.name]) for port in graph.outputs}
        found.append(Detections.of([outputs[output] for output in OUTPUTS]))
    expected = average_precision(onnx_runtime(path.read_bytes(), examples, "ONNX Runtime"), examples)
    assert average_precision(found, examples) == pytest.approx(expected, abs=0.02)
    assert expected > 0.6
