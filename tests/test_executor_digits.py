"""The demo network's integer executor against ONNX Runtime, on images of the test split."""

from pathlib import Path

import numpy as np
import pytest
from celosia.sw import graph as ir
from celosia.sw.executor import InputError, dequantize_output, execute, quantize_input
from celosia.sw.frontend import import_model
from celosia.sw.frontend.reference import Reference, compare_layers
from numpy.typing import NDArray
from sklearn.datasets import load_digits

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
MODEL = DIGITS / "digits_qdq.onnx"
LANES = 8


@pytest.fixture(scope="module")
def graph() -> ir.Graph:
    return import_model(MODEL)


@pytest.fixture(scope="module")
def reference(graph: ir.Graph) -> Reference:
    return Reference(MODEL, graph)


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    """30 images of the test split, [30, 1, 1, 8, 8]."""
    with np.load(DIGITS / "split.npz") as split:
        chosen = split["test"][:30]
    pixels, _ = load_digits(return_X_y=True)
    return (np.asarray(pixels)[chosen] / 16).astype(np.float32).reshape(-1, 1, 1, 8, 8)


def test_split_is_disjoint() -> None:
    with np.load(DIGITS / "split.npz") as split:
        train, calibration, test = (set(split[name].tolist()) for name in ("train", "calibration", "test"))
    assert len(test) >= 360
    assert calibration <= train
    assert not train & test
    assert len(train | test) == 1797


def test_structure(graph: ir.Graph) -> None:
    kinds = [type(operator).__name__ for operator in graph.operators]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "MatMul": 19,
        "Add": 5,
        "LayerNorm": 5,
        "Softmax": 2,
        "Table": 2,
    }
    tokens, width = 16, 64
    block = tokens * width * (4 * width + 2 * 128 + 2 * tokens)
    assert graph.macs() == tokens * 4 * width + 2 * block + tokens * width + width * 10


def test_each_layer(graph: ir.Graph, reference: Reference, images: NDArray[np.float32]) -> None:
    totals = {operator.name: np.zeros(2, int) for operator in graph.operators}
    for image in images:
        _, layers = reference.run({"image": image})
        for found in compare_layers(graph, {"image": image}, layers, lanes=LANES):
            totals[found.operator] += found.elements, found.within_one
    for name, (elements, within_one) in totals.items():
        assert within_one >= 0.99 * elements, name


def test_classes_agree(graph: ir.Graph, reference: Reference, images: NDArray[np.float32]) -> None:
    port = graph.outputs[0]
    for image in images:
        expected = reference.run({"image": image})[0]["logits"]
        logits = dequantize_output(port, execute(graph, {"image": image}, lanes=LANES)[port.tensor.name])
        assert logits.shape == expected.shape
        assert logits.argmax() == expected.argmax()
        assert np.abs(logits - expected).max() < 0.2


def test_inputs_are_checked(graph: ir.Graph, images: NDArray[np.float32]) -> None:
    cases: list[tuple[dict[str, NDArray], str]] = [
        ({}, "input image is missing"),
        ({"image": images[0], "mask": images[0]}, "input mask is not one of the network's: image"),
        ({"image": images[0, 0]}, "input image must have the shape [1, 1, 8, 8], not [1, 8, 8]"),
        ({"image": images[0].astype(np.float64)}, "input image must be float32, not float64"),
        ({"image": images[0] * np.float32(np.nan)}, "input image must hold numbers, not NaN"),
    ]
    for arrays, message in cases:
        with pytest.raises(InputError) as caught:
            execute(graph, arrays, lanes=LANES)
        assert str(caught.value) == message


def test_extreme_pixels_saturate(graph: ir.Graph, reference: Reference) -> None:
    image = np.zeros((1, 1, 8, 8), np.float32)
    image[0, 0, 0, :4] = np.inf, -np.inf, np.finfo(np.float32).max, -7
    port = graph.inputs[0]
    assert sorted(set(quantize_input(port, image).reshape(-1).tolist())) == [-128, 0, 127]
    _, layers = reference.run({"image": image})
    found = next(compare_layers(graph, {"image": image}, layers, lanes=LANES))
    assert found.within_one == found.elements
