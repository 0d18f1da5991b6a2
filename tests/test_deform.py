"""Deformable convolutions of ONNX: the golden model, the importer and the compiler against other definitions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from celosia.rtl.arch.deform import DeformCircuit, Form
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import ModelError, import_model
from celosia.sw.frontend.deform import Offsets
from celosia.sw.golden.deform import Deformation, samples
from deformable import Layer, grid, network, save
from onnx import helper
from onnx.reference import ReferenceEvaluator
from random_graphs import run_on_golden_machine

MACHINE = MachineParameters(
    rows=8, cols=8, lanes=4, scratchpad_kib=32, deform_kernel=3, deform_reach=7, deform_width=16, deform_free=1, deform_bilinear=1,
    deform_masked=1,
)  # fmt: skip
LAYERS = {
    "square": Layer(),
    "square by 2": Layer(stride=2, size=(9, 10), channels=20),
    "square between pixels": Layer(step=1 / 16, least=-1.5, most=4.25),
    "free": Layer(square=False, least=-3, most=3, channels=13),
    "free between pixels": Layer(square=False, step=1 / 8, least=-3, most=2.5, stride=2),
    "masked": Layer(masked=True),
    "all": Layer(square=False, step=1 / 16, least=-4, most=4, masked=True, dilation=2, offset_zero_point=11),
    "5 x 5": Layer(kernel=5, least=-1, most=2),
    "5 x 5, free": Layer(kernel=5, square=False, step=0.25, least=-2, most=2, masked=True),
    "one line": Layer(size=(1, 12)),
    "one column": Layer(size=(12, 1), square=False, least=-2, most=2),
    "wide": Layer(size=(6, 40), least=-2, most=3),
    "full": Layer(full=True, channels=8),
    "full, between pixels": Layer(full=True, step=1 / 4, channels=8, stride=2),
    "full, in parts": Layer(full=True, channels=64, size=(40, 16), least=-2, most=3),
}


def machine_for(layer: Layer) -> MachineParameters:
    return replace(MACHINE, deform_kernel=layer.kernel, scratchpad_kib=256 if layer.channels > 32 else 32)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_an_imported_network_is_within_two_steps_of_onnx_runtime(layer: Layer, tmp_path: Path) -> None:
    """And the compiled program computes what the executor does."""
    path = save(network(layer), tmp_path)
    graph, x = import_model(path), np.random.default_rng(2).normal(size=(1, layer.channels, *layer.size)).astype(np.float32)
    (port,), (out,) = graph.inputs, graph.outputs
    values = execute(graph, {port.name: x}, lanes=4)[out.tensor.name]
    found = dequantize_output(out, values)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {port.name: x})
    steps = np.abs(found - np.asarray(expected)) / out.scale
    assert np.unique(np.asarray(expected)).size > 30
    assert steps.max() < 2.01
    program = compile_graph(graph, machine_for(layer), name="deformable")
    assert np.array_equal(run_on_golden_machine(program, {port.name: x})[out.name], values)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("form", [Form.SQUARE, Form.FREE])
@pytest.mark.parametrize("masked", [False, True])
def test_the_golden_model_is_onnx_deformable_convolution(kernel: int, form: Form, masked: bool) -> None:
    """Of onnx's own evaluator, in float: exact without masks, else within the bound that `samples` states."""
    rng, taps, (h, w), stride = np.random.default_rng(3), kernel**2, (6, 5), 2
    lines, columns = -(-h // stride), -(-w // stride)
    d = Deformation(
        height=h, width=w, lines=lines, columns=columns, kernel=kernel, y_start=0, x_start=0, strides=(stride, stride), form=form,
        fraction=4, offset_low=-60, offset_high=60, masked=masked,
    )  # fmt: skip
    pixels = rng.integers(-128, 128, (h * w, 2))
    offsets = rng.integers(-64, 65, (lines * columns, d.offsets))
    masks = rng.integers(0, 256, (lines * columns, taps)) if masked else None
    weights = rng.integers(-8, 8, (2, taps))
    found = np.einsum("ptc,ct->pc", samples(pixels, offsets, masks, d), weights) / (1 if masked else 256)
    limited = np.clip(offsets, -60, 60) / 16
    of_taps = limited * grid(kernel).reshape(-1) if form is Form.SQUARE else limited
    inputs = {
        "x": pixels.T.reshape(1, 2, h, w),
        "w": weights.reshape(2, 1, kernel, kernel),
        "offset": of_taps.T.reshape(1, -1, lines, columns),
        "b": np.zeros(2),
        "mask": (np.full((lines * columns, taps), 1.0) if masks is None else masks).T.reshape(1, taps, lines, columns),
    }
    attributes = {"group": 2, "kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, "strides": [stride] * 2}
    node = helper.make_node("DeformConv", list(inputs), ["y"], **attributes)
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, a.shape) for name, a in inputs.items()]
    result = helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)
    model = helper.make_model(helper.make_graph([node], "net", infos, [result]), opset_imports=[helper.make_opsetid("", 22)])
    (expected,) = ReferenceEvaluator(model).run(None, {name: a.astype(np.float64) for name, a in inputs.items()})
    error = np.abs(found - np.asarray(expected).reshape(2, -1).T)
    bound = np.abs(weights).sum(axis=1) * (2.0**-11 * 128 + 2.0**-8) * 256 if masked else 1e-9
    assert (error <= bound).all()


def test_what_the_line_buffer_of_one_row_less_loses() -> None:
    """The published engine's 15 rows, written 8 rows ahead, for a reach of 7: the row that is written takes the place of one that a kernel
    of that reach needs. With 16 it doesn't, nor with 15 for a reach of 6."""

    def lost(rows: int, reach: int, ahead: int) -> bool:
        centre = 100
        needed = {(centre + dy) % rows for dy in range(-reach, reach + 1)}
        return (centre + ahead) % rows in needed

    assert lost(rows=15, reach=7, ahead=8)
    assert not lost(rows=15, reach=6, ahead=8)
    assert not lost(rows=16, reach=7, ahead=8)


REFUSED = {
    "reach": (Layer(most=9.0), {}, "its taps lie up to 10 pixels from the centre, which needs deform_reach 10, or a lower --offset-bound"),
    "none": (Layer(), {"deform_kernel": 0}, "a deformable convolution needs a machine with deform_kernel 3"),
    "kernel": (Layer(kernel=5, most=2.0), {}, "its kernel of 5 x 5 needs deform_kernel 5, not 3"),
    "free": (Layer(square=False, least=-3, most=3), {"deform_free": 0}, "its taps have offsets of their own, which needs deform_free"),
    "between": (Layer(step=0.5), {"deform_bilinear": 0}, "which needs deform_bilinear, or --offset-round 0"),
    "masks": (Layer(masked=True), {"deform_masked": 0}, "its taps have masks, which needs deform_masked"),
    "width": (Layer(size=(4, 40)), {"deform_width": 14}, "is wider than the line buffer's 14, and to cut it needs lines of 15 pixels"),
}


@pytest.mark.parametrize(("layer", "changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_the_machine_cannot_do(layer: Layer, changes: dict[str, int], reason: str, tmp_path: Path) -> None:
    graph = import_model(save(network(layer), tmp_path))
    with pytest.raises(CompileError, match=reason):
        compile_graph(graph, replace(MACHINE, **changes), name="deformable")


def test_offsets_that_are_not_exact_can_be_rounded(tmp_path: Path) -> None:
    """To fractions or to pixels; and limited where no Clip does."""
    path = save(network(Layer(step=0.1, most=0.0)), tmp_path)
    with pytest.raises(ModelError, match=r"node_DeformConv.*steps of 0\.1 pixels.*--offset-round 4 moves them by up to 0\.03125"):
        import_model(path)
    for fraction in (0, 4):
        graph = import_model(path, Offsets(bound=5, fraction=fraction))
        (op,) = (op for op in graph.operators if isinstance(op, ir.Deform))
        assert (op.deformation.fraction, op.deformation.farthest) == (fraction, 5 * 16)
        assert op.moved == pytest.approx(12.7 - 4)  # of the largest one the bound leaves so much
        compile_graph(graph, MACHINE, name="deformable")


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("bilinear", [False, True])
def test_squares_never_meet_in_a_bank(kernel: int, bilinear: bool) -> None:
    """Whatever their dilation and their place, of every reach: all points that a copy of the buffer gives in a cycle."""
    for reach in range(kernel // 2, 16):
        circuit = DeformCircuit(kernel=kernel, reach=reach, bilinear=bilinear)
        if circuit.arbitrates:
            continue
        steps = np.arange(kernel) - kernel // 2
        for dilation in range(0, 16 * reach // (kernel // 2) + 1, 1 if bilinear else 16):
            size = np.abs(steps * dilation)
            near, between = size >> 4, size % 16 > 0
            sides = np.sign(steps) * np.stack([near, near + between])
            both = between[:, None] & between
            taken = [(0, 0, both | True), (1, 1, both | True), (0, 1, both), (1, 0, both)]
            for y_side, x_side, wanted in taken if bilinear else taken[:1]:
                y, x = (of[wanted] for of in np.meshgrid(sides[y_side], sides[x_side], indexing="ij"))
                banks = (circuit.row_step * y + x) % circuit.banks
                assert len(set(banks.tolist())) == len(set(zip(y.tolist(), x.tolist(), strict=True)))
