"""The report's measurements, from recorded activity that is written by hand."""

from pathlib import Path

import numpy as np
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine
from celosia.rtl.arch.workers import workers
from celosia.sw import compile_model
from celosia.sw.driver.device import DeviceError
from celosia.sw.manifest import Manifest
from celosia.sw.report.detections import LEAST_SCORE, picture
from celosia.sw.report.measure import operator_use, spans

MODEL = Path(__file__).parent.parent / "examples" / "digits" / "digits_qdq.onnx"


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return Manifest.of(compile_model(MODEL, MachineParameters()), rom=False)


def activity(manifest: Manifest, *, cycles: int = 10, pause: int = 2) -> list[tuple[int, int]]:
    """One step after the other, ``cycles`` each."""
    changes, now = [], 1000
    for _, label in manifest.labels:
        engine = Engine[label.upper()]
        changes += [(now, 1 << engine), (now + cycles, 1 << engine + len(workers(manifest.parameters)))]
        now += cycles + pause
    return changes


def test_spans_follow_the_program(manifest: Manifest) -> None:
    run = spans(activity(manifest), manifest)
    assert [(span.operator, span.engine.name.lower()) for span in run] == list(manifest.labels)
    assert [span.start for span in run] == [12 * i for i in range(len(run))]
    assert {span.cycles for span in run} == {10}


def test_every_mac_and_every_operator_is_counted(manifest: Manifest) -> None:
    uses = operator_use(spans(activity(manifest), manifest), manifest)
    assert {use.name for use in uses} == set(manifest.operators)
    assert sum(use.macs for use in uses) == 1_119_872
    assert [use.start for use in uses] == sorted(use.start for use in uses)
    use = next(use for use in uses if use.kind == "MatMul")
    assert use.mac_use == use.macs / (use.cycles * 256)


def test_bytes_of_a_transfer_are_its_slots(manifest: Manifest) -> None:
    run = spans(activity(manifest), manifest)
    moved = sum(span.external_bytes for span in run)
    port_slots = sum(port.slots for port in (*manifest.inputs, *manifest.outputs))
    assert moved == port_slots * manifest.parameters.slot_bytes
    assert np.all([span.scratchpad_bytes > 0 for span in run])


def test_activity_of_half_a_run_is_refused(manifest: Manifest) -> None:
    changes = activity(manifest)
    with pytest.raises(DeviceError, match="not that of one run"):
        spans(changes[: len(changes) // 2], manifest)


def found(boxes: int, best: float = 0.9) -> dict[str, np.ndarray]:
    """Detections of which the last two are too unlikely to be drawn."""
    scores = np.full((1, boxes + 2), best, np.float32)
    scores[0, boxes:] = LEAST_SCORE / 2
    corners = np.tile(np.array([2, 3, 9, 8], np.float32), (1, boxes + 2, 1))
    return {"scores": scores, "classes": np.arange(boxes + 2)[None], "boxes": corners}


@pytest.mark.parametrize("colours", [1, 3])
def test_a_box_for_each_likely_detection(colours: int) -> None:
    image = {"image": np.random.default_rng(1).random((1, colours, 12, 16)).astype(np.float32)}
    pages = [picture(image, found(boxes)) for boxes in (0, 3)]
    assert all(page.startswith("<svg") and "data:image/png" in page for page in pages)
    assert pages[1].count('<g id="patch_') - pages[0].count('<g id="patch_') == 2 * 3  # each with its label


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"image": np.zeros((1, 2, 8, 8))}, found(2)),
        ({"image": np.zeros((1, 64))}, found(2)),
        ({"image": np.zeros((1, 1, 8, 8)), "other": np.zeros(3)}, found(2)),
        ({"image": np.zeros((1, 1, 8, 8))}, {"logits": np.zeros((1, 10))}),
        ({"image": np.zeros((1, 1, 8, 8))}, {**found(2), "boxes": np.zeros((1, 4, 5))}),
    ],
)
def test_no_picture_of_what_is_no_image_or_no_detections(inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
    assert not picture(inputs, outputs)
