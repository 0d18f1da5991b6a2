"""`celosia quantize`: what it writes loads, imports, and computes what the float network does; what moved offsets cost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from celosia.gen.cli import compile as compile_module
from celosia.rtl.arch.deform import Form
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.deform import Offsets
from celosia.sw.frontend.onnx_file import checked
from celosia.sw.quantize.error import errors
from celosia.sw.quantize.moved import cost_of_moved
from celosia.sw.quantize.network import quantize_network
from celosia.sw.quantize.report import Quantization
from celosia.sw.quantize.runtime import session
from celosia.sw.quantize.samples import read_samples
from celosia.sw.quantize.static import quantized
from float_networks import Deformable, classifier, convolved, of_two_outputs, samples_of, saved
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_models import Net, attention, gated, mlp, shuffled
from random_graphs import run_on_golden_machine
from test_cli import celosia
from test_executor_onnxruntime import check_layers

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
MACHINE = MachineParameters(
    rows=8, cols=8, lanes=4, scratchpad_kib=64, deform_kernel=3, deform_reach=8, deform_width=16, deform_free=1, deform_bilinear=1,
    deform_masked=1,
)  # fmt: skip


def quantize(model: onnx.ModelProto, folder: Path) -> tuple[Quantization, Path, list[dict[str, NDArray]]]:
    """Also the file, and samples that the ranges are not of."""
    float_path, data = saved(model, folder)
    done = quantize_network(float_path, data, folder / "quantized.onnx")
    np.savez(folder / "others.npz", allow_pickle=False, **samples_of(model, 4, seed=6))
    return done, folder / "quantized.onnx", list(read_samples(folder / "others.npz", checked(float_path)[1].inputs))


NETWORKS: dict[str, tuple[Callable[[], onnx.ModelProto], float]] = {
    "convolutions": (classifier, 35),
    "joined channels": (shuffled, 30),
    "attention": (attention, 28),
    "gates": (lambda: gated(5, 12, 20), 25),
    "before and behind ReLU": (of_two_outputs, 35),
    "multilayer perceptron": (mlp, 30),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_what_the_network_computes(network: str, tmp_path: Path) -> None:
    """decibels: what ONNX Runtime's error leaves; a scale of twice its size takes 6 dB."""
    make, decibels = NETWORKS[network]
    done, path, others = quantize(make(), tmp_path)
    check_layers(path, others, steps=512 if network == "attention" else 4)  # int8 before its int16
    assert all(error.decibels > decibels for error in done.errors.values())
    assert not done.offsets


DEFORMABLE: dict[str, tuple[Deformable, float, float]] = {
    "offsets of each tap": (Deformable(), 1 / 16, 30),
    "over all channels": (Deformable(full=True), 1 / 16, 30),
    "far offsets": (Deformable(pixels=3), 1 / 8, 22),
    "rounded offsets": (Deformable(rounded=True), 1.0, 15),
    "limits between steps": (Deformable(most=2.3), 1 / 16, 30),
    "limits": (Deformable(most=2), 1 / 16, 30),
    "squares": (Deformable(square=True), 1 / 16, 30),
    "rounded squares": (Deformable(square=True, rounded=True, most=6, pixels=3), 1.0, 15),
    "masks": (Deformable(masked=True), 1 / 16, 30),
    "masks over all channels": (Deformable(masked=True, full=True), 1 / 16, 30),
    "offsets and masks of one convolution": (Deformable(together=True), 1 / 16, 35),
}


@pytest.mark.parametrize("name", DEFORMABLE)
def test_deformable_convolution(name: str, tmp_path: Path) -> None:
    layer, step, decibels = DEFORMABLE[name]
    done, path, others = quantize(layer.network(), tmp_path)
    graph = check_layers(path, others, steps=2)
    assert [steps.step for steps in done.offsets] == [step]
    assert [error.decibels > decibels for error in done.errors.values()] == [True]
    deforms = [op for op in graph.operators if isinstance(op, ir.Deform)]
    assert all(op.moved == 0 for op in deforms)
    assert {op.deformation.fractional for op in deforms} == {step < 1}
    assert {op.deformation.form for op in deforms} == {Form.SQUARE if layer.square else Form.FREE}
    assert not {"Round", "BatchNormalization"} & {node.op_type for node in onnx.load(path).graph.node}
    graph = import_model(path, Offsets(bound=8))  # as far as int8 has sixteenths, and the machine reaches
    program = compile_graph(graph, MACHINE)
    values, found = execute(graph, others[0], lanes=MACHINE.lanes), run_on_golden_machine(program, others[0])
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)


def test_steps_of_offsets(tmp_path: Path) -> None:
    """The largest offset decides; what int8 does not hold in whole pixels is clamped."""
    for pixels, step, clamped in ((0.5, 1 / 16, False), (6, 1 / 4, False), (25, 1.0, False), (80, 1.0, True)):
        done, path, _ = quantize(Deformable(pixels=pixels).network(), tmp_path)
        (steps,) = done.offsets
        assert (steps.step, steps.clamped) == (step, clamped)
        assert max(-steps.lowest / 128, steps.highest / 127) <= step * 1.01 or clamped
        integers = session(path)
        scales = {numpy_helper.to_array(i).item() for i in onnx.load(path).graph.initializer if i.name == f"{steps.path.source}_scale"}
        assert scales == {step}
        assert integers.get_outputs()


def test_offsets_that_two_convolutions_share(tmp_path: Path) -> None:
    """Have the steps that both can do with."""
    net = Net()
    x = net.input(1, 4, 6, 6)
    offsets = net.op("Mul", convolved(net, x, 4, 18), net.constant(np.float32(6)))
    near = net.op("Clip", offsets, *(net.constant(np.float32(limit)) for limit in (-1.125, 1)))
    for of_taps in (near, offsets):
        x = net.op("DeformConv", x, net.normal(4, 1, 3, 3), of_taps, group=4, kernel_shape=[3, 3], pads=[1] * 4)
    done, path, others = quantize(net.model(x, opset=22), tmp_path)
    assert [(steps.step, steps.again is None) for steps in done.offsets] == [(0.25, False), (0.25, True)]
    check_layers(path, others, steps=3)


def test_the_float_network_that_all_is_measured_against(tmp_path: Path) -> None:
    """ONNX Runtime's DeformConv is that of onnx's own evaluator."""
    small = Deformable(channels=3, size=(4, 5))
    for layer in (replace(small, masked=True), replace(small, square=True, full=True), replace(small, rounded=True, pixels=3)):
        model = layer.network()
        path, _ = saved(model, tmp_path)
        arrays = {name: array[:1] for name, array in samples_of(model, 1).items()}
        (found,), (expected,) = session(path).run(None, arrays), ReferenceEvaluator(model).run(None, arrays)
        assert np.abs(np.asarray(found) - np.asarray(expected)).max() < 1e-4 * np.abs(np.asarray(expected)).max()


def test_errors() -> None:
    """Over two samples, of 10 and 10 signals of 1, of which one is off by 0.2 and one by 0.1: 10 log10(20 / 0.05)."""
    wanted = {"y": np.ones((2, 5), np.float32), "labels": np.arange(4)}
    off = np.eye(2, 5) * np.array([[0.2], [0]]), np.eye(2, 5) * np.array([[0], [0.1]])
    found = errors((wanted, {"y": wanted["y"] + one, "labels": wanted["labels"] % 3}) for one in off)
    assert found["y"].decibels == pytest.approx(10 * np.log10(20 / 0.05))
    assert (found["y"].largest, found["y"].alike, found["y"].elements, found["y"].integers) == (pytest.approx(0.2), 18, 20, False)
    assert (found["labels"].alike, found["labels"].elements, found["labels"].integers) == (6, 8, True)
    assert [error.decibels for error in errors([(wanted, wanted)]).values()] == [np.inf, np.inf]


def test_the_graph_that_is_written(tmp_path: Path) -> None:
    """Of convolutions: ReLU6 goes, no product is quantized before its ReLU, and weights are symmetric."""
    _, path, _ = quantize(classifier(), tmp_path)
    model = onnx.load(path)
    arrays = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    assert "Clip" not in {node.op_type for node in model.graph.node}
    readers = {name: node.op_type for node in model.graph.node for name in node.input}
    assert {readers[node.output[0]] for node in model.graph.node if node.op_type == "Conv"} <= {"Relu", "QuantizeLinear"}
    weights = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and arrays.get(node.input[0], np.zeros(1)).ndim > 1]
    assert len(weights) == 5
    for node in weights:
        integers, scale, zero_point = (arrays[name] for name in node.input)
        assert (integers.dtype, scale.shape, zero_point.any()) == (np.int8, (len(integers),), False)


def test_the_examples_are_quantized_so(tmp_path: Path) -> None:
    from examples.digits.data import load_split

    proto, model = checked(DIGITS / "digits.onnx")
    made = quantized(proto, model, ({"image": image[None]} for image in load_split("calibration")[0]), symmetric=True)
    expected = onnx.load(DIGITS / "digits_qdq.onnx")
    assert [node.SerializeToString() for node in made.graph.node] == [node.SerializeToString() for node in expected.graph.node]
    found, wanted = ({i.name: numpy_helper.to_array(i) for i in m.graph.initializer} for m in (made, expected))
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, data = saved(Deformable(rounded=True).network(), tmp_path)
    result = celosia("quantize", path, "--calibration", data, "-o", tmp_path / "net.onnx")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "node_DeformConv" in result.stdout
    assert " dB" in result.stdout
    assert sorted(file.name for file in tmp_path.iterdir()) == ["float.onnx", "net.onnx", "samples.npz"]
    monkeypatch.setattr(compile_module, "write_project", lambda *_, **__: SimpleNamespace(labels=[], constants=b""))
    machine = ["--target", "small", "--deform-kernel", 3, "--deform-reach", 4, "--deform-free", 1, "--offset-data", data]
    result = celosia("compile", tmp_path / "net.onnx", "-o", tmp_path / "out", *machine, "--offset-bound", 3)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "what moved offsets change" in result.stdout
    assert " dB" in result.stdout
    exact = saved(Deformable(rounded=True, most=2).network(), tmp_path)[0]
    assert celosia("quantize", exact, "--calibration", data, "-o", tmp_path / "net.onnx").exit_code == 0
    result = celosia("compile", tmp_path / "net.onnx", "-o", tmp_path / "out", *machine, "--offset-bound", 3)
    assert "no offset is moved: nothing changes" in result.stdout


def test_what_moved_offsets_cost(tmp_path: Path) -> None:
    """The less offsets may be moved, the less it costs; nothing where none is."""
    _, path, others = quantize(Deformable().network(), tmp_path)
    found = [
        next(iter(cost_of_moved(path, allowed, others, lanes=4).values()))
        for allowed in (Offsets(fraction=0), Offsets(fraction=2), Offsets(fraction=3), Offsets(fraction=4), Offsets(fraction=4, bound=9))
    ]
    ratios = [error.decibels for error in found]
    assert 0 < ratios[0] < ratios[1] - 6 < ratios[2] - 9
    assert ratios[3:] == [np.inf, np.inf]
    assert found[0].largest > found[1].largest > found[2].largest > found[3].largest == 0


def test_offsets_that_no_engine_has(tmp_path: Path) -> None:
    """Are measured against its sixteenths."""
    _, path, others = quantize(Deformable().network(), tmp_path)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if numpy_helper.to_array(tensor).shape == () and numpy_helper.to_array(tensor).item() == 1 / 16:
            tensor.CopyFrom(numpy_helper.from_array(np.array(0.07, np.float32), tensor.name))
    onnx.save(model, path)
    (fine,) = cost_of_moved(path, Offsets(fraction=4), others, lanes=4).values()
    (coarse,) = cost_of_moved(path, Offsets(fraction=1), others, lanes=4).values()
    assert (fine.decibels, 0 < coarse.decibels < 40) == (np.inf, True)
