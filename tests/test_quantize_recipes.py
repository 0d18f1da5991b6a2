"""The options of `celosia quantize`: what each one gains, what it leaves as it is, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.onnx_file import checked, converted
from celosia.sw.frontend.reference import Reference, compare_layers
from celosia.sw.quantize.budget import within
from celosia.sw.quantize.layers import Layer, layers_of
from celosia.sw.quantize.network import quantize_network, silently
from celosia.sw.quantize.prepare import prepared
from celosia.sw.quantize.ranges import BINS, LEFT_OUT, Histogram, Ranges, range_of
from celosia.sw.quantize.recipe import Recipe
from celosia.sw.quantize.report import Quantization
from celosia.sw.quantize.runtime import session
from celosia.sw.quantize.samples import read_samples
from celosia.sw.quantize.study import Study
from celosia.sw.quantize.weights import of_four_bits
from float_networks import Deformable, classifier, convolved, encoder, samples_of, saved
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx_models import Net, attention, autoencoder, mlp
from random_graphs import run_on_golden_machine
from test_cli import celosia, refused

MACHINE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=64, factor_bits=8)
ALL = Recipe(ranges=Ranges.MSE, smooth=0.5, weight_bits=4, weight_group=16)


def quantize(model: onnx.ModelProto, folder: Path, recipe: Recipe) -> tuple[Quantization, Path, list[dict[str, NDArray]]]:
    """Also the file, and samples that nothing is of."""
    source, data = saved(model, folder, count=16)
    done = quantize_network(source, data, folder / "quantized.onnx", recipe)
    np.savez(folder / "others.npz", allow_pickle=False, **samples_of(model, 4, seed=6))
    return done, folder / "quantized.onnx", list(read_samples(folder / "others.npz", checked(source)[1].inputs))


def decibels(model: onnx.ModelProto, folder: Path, recipe: Recipe) -> float:
    return quantize(model, folder, recipe)[0].errors[model.graph.output[0].name].decibels


def check(path: Path, samples: list[dict[str, NDArray]]) -> ir.Graph:
    """Every layer of the integer executor within two steps of ONNX Runtime, given its inputs; products of as much more as it makes that a
    bias is rounded to a step of their accumulators."""
    graph = import_model(path)
    reference, operators = Reference(path, graph), {op.name: op for op in graph.operators}
    compared = 0
    for arrays in samples:
        for found in compare_layers(graph, arrays, reference.run(arrays)[1], lanes=MACHINE.lanes):
            op = operators[found.operator]
            parameters = op.parameters if isinstance(op, ir.MatMul) else None
            of_bias = 0 if parameters is None else (parameters.multiplier / 2.0**parameters.shift).max() / 2
            assert found.worst <= 2 + of_bias, found
            compared += 1
    assert compared
    return graph


def study_of(model: onnx.ModelProto, folder: Path) -> Study:
    source, data = saved(model, folder)
    proto, one = checked(source)
    return Study(source=source, proto=prepared(proto, one), samples=read_samples(data, one.inputs), track=silently)


def homogeneous() -> onnx.ModelProto:
    """Convolutions with nothing but ReLU and a factor between them, the last one in groups; a Gemm of what they give, pixel by pixel."""
    net = Net()
    x = net.op("Relu", convolved(net, net.input(1, 4, 6, 6), 4, 10, kernel=3))
    x = net.op("Mul", net.constant(np.float32(0.3)), convolved(net, x, 10, 12))
    x = net.op("Relu", convolved(net, x, 12, 12, kernel=3))
    x = net.op("Transpose", net.shape(convolved(net, x, 12, 16, group=1), 16, 36), perm=[1, 0])
    return net.model(net.op("Gemm", x, net.normal(5, 16), net.normal(5), transB=1))


def given() -> onnx.ModelProto:
    net = Net()
    x = net.op("LayerNormalization", net.input(4, 8), net.normal(8, mean=1, scale=0.3), axis=-1)
    return net.model(x, net.op("MatMul", x, net.normal(8, 8)), shape=(4, 8))


SMOOTH: dict[str, tuple[Callable[[], onnx.ModelProto], int]] = {
    "normalized behind": (encoder, 5),  # three normalizations, values to the projection, the MLP
    "normalized before": (lambda: encoder(before=True), 5),
    "one product for query, key and value": (lambda: attention(fused=True), 3),  # and of values alone
    "ReLU": (mlp, 1),
    "convolutions": (homogeneous, 4),
    "a normalization that also leaves the network": (given, 0),
}


@pytest.mark.parametrize("network", SMOOTH)
def test_rescaled_channels_change_nothing_in_float(network: str, tmp_path: Path) -> None:
    make, spans = SMOOTH[network]
    study = study_of(make(), tmp_path)
    smoothed = study.smoothed(0.5)
    before, after = ({i.name for i in one.proto.graph.initializer} for one in (study, smoothed))
    assert len([name for name in after - before if name.endswith(".1.smoothed")]) >= spans
    assert bool(after - before) == bool(spans)
    outputs = study.model.outputs
    for found, wanted in zip(smoothed.run(outputs, ""), study.run(outputs, ""), strict=True):
        assert all(np.abs(found[name] - array).max() < 1e-5 * np.abs(array).max() for name, array in wanted.items())


def test_rescaled_channels_are_alike(tmp_path: Path) -> None:
    """With alpha 1 all that layers read has channels of the same magnitude; with 0 their weights do."""
    for alpha in (1.0, 0.0):
        study = study_of(mlp(), tmp_path).smoothed(alpha)
        (_, second) = layers_of(study.model).values()
        read = np.abs(np.concatenate([run[second.source] for run in study.run([second.source], "")])).max(axis=0)
        magnitudes = read if alpha else np.abs(second.matrix).max(axis=1)
        live = magnitudes[read > 0]
        assert live.max() == pytest.approx(live.min(), rel=1e-3)


def test_rescaled_channels_lessen_the_error(tmp_path: Path) -> None:
    for before in (False, True):
        model = encoder(before=before)
        assert decibels(model, tmp_path, Recipe(smooth=0.5)) > decibels(model, tmp_path, Recipe()) + 6


def test_sums_read_int16(tmp_path: Path) -> None:
    """Of a network that normalizes behind its sums: the normalizations are there twice, of int16 for sums, of int8 for layers."""
    _, path, others = quantize(encoder(), tmp_path, Recipe())
    graph = check(path, others)
    bits = [op.outputs[0].tensor.bits for op in graph.operators if isinstance(op, ir.LayerNorm)]
    assert sorted(bits) == [8, 8, 8, 16, 16]
    assert all(block.tensor.bits == 16 for op in graph.operators if isinstance(op, ir.Add) for block in op.inputs)


def test_int16_holds_twice_what_was_seen(tmp_path: Path) -> None:
    _, path, others = quantize(encoder(before=True), tmp_path, Recipe())
    (port,) = check(path, others).outputs
    assert port.tensor.bits == 16
    seen = read_samples(tmp_path / "samples.npz", checked(tmp_path / "float.onnx")[1].inputs)
    largest = max(np.abs(np.asarray(session(tmp_path / "float.onnx").run(None, sample)[0])).max() for sample in seen)
    assert port.tensor.scale * port.tensor.format.max == pytest.approx(2 * largest, rel=0.01)


def weighted(graph: ir.Graph) -> list[ir.MatMul]:
    """The products with constant weights."""
    return [op for op in graph.operators if isinstance(op, ir.MatMul) and op.parts[0].b.tensor.data is not None]


def bits_of(op: ir.MatMul) -> int:
    return op.parts[0].b.tensor.bits


def test_ranges_lessen_the_error_of_data_with_outliers(tmp_path: Path) -> None:
    """One number of 96,000 is 50, others are normal: percentiles lessen the error of what has no outlier, mse that of all there is."""
    onnx.save(mlp(), tmp_path / "float.onnx")
    data = np.random.default_rng(3).normal(size=(2000, 4, 12))
    data[7, 2, 5] = 50
    np.savez(tmp_path / "data.npz", input_1=data)
    usual = [{"input_1": x} for x in np.random.default_rng(4).normal(size=(50, 4, 12)).astype(np.float32)]
    wanted = [np.asarray(session(tmp_path / "float.onnx").run(None, x)[0]) for x in usual]
    noise, ratios = dict[Ranges, float](), dict[Ranges, float]()
    for ranges in Ranges:
        done = quantize_network(tmp_path / "float.onnx", tmp_path / "data.npz", tmp_path / "net.onnx", Recipe(ranges=ranges))
        network = session(tmp_path / "net.onnx")
        noise[ranges] = sum(float(np.square(np.asarray(network.run(None, x)[0]) - y).sum()) for x, y in zip(usual, wanted, strict=True))
        (ratios[ranges],) = (error.decibels for error in done.errors.values())
    assert noise[Ranges.PERCENTILE] < noise[Ranges.MINMAX] / 10
    assert noise[Ranges.MSE] < noise[Ranges.MINMAX]
    assert ratios[Ranges.MSE] > ratios[Ranges.MINMAX] + 0.2 > ratios[Ranges.PERCENTILE]


def test_percentiles_and_least_errors() -> None:
    """Of numbers up to 1 in magnitude, and few of 100."""
    counts = np.zeros(BINS, np.int64)
    counts[BINS // 2 - 10 : BINS // 2 + 10] = 10**6
    counts[[0, -1]] = 1
    histogram = Histogram(low=-100, high=100, counts=counts)
    low, high = range_of(histogram, Ranges.PERCENTILE)
    assert (low, high) == (pytest.approx(-1, abs=0.1), pytest.approx(1, abs=0.1))
    assert range_of(histogram, Ranges.MINMAX) == (-100, 100)
    low, high = range_of(histogram, Ranges.MSE)
    assert -15 < low < -3 < 3 < high < 15
    only = Histogram(low=0, high=2, counts=np.ones(BINS, np.int64))
    assert range_of(only, Ranges.MSE) == (0, 2)
    assert range_of(only, Ranges.PERCENTILE)[1] == pytest.approx(2, rel=2 * LEFT_OUT + 1 / BINS)


@pytest.mark.parametrize("recipe", [ALL, replace(ALL, weight_group=0), replace(ALL, weight_group=32)], ids=["16", "none", "32"])
def test_weights_of_four_bits_run_on_the_machine(recipe: Recipe, tmp_path: Path) -> None:
    done, path, others = quantize(encoder(), tmp_path, recipe)
    graph = check(path, others)
    products = weighted(graph)
    assert {bits_of(op) for op in products} == {4}
    size = recipe.weight_group
    assert [layer.groups for layer in done.layers] == [layer.k // size if size else 1 for layer in done.layers]
    assert [1 if op.parameters.factors is None else len(op.parameters.factors) for op in products] == [
        layer.groups for layer in done.layers
    ]
    assert {layer.bits for layer in done.layers} == {4}
    program = compile_graph(graph, MACHINE)
    values, found = execute(graph, others[0], lanes=MACHINE.lanes), run_on_golden_machine(program, others[0])
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)


def test_weights_of_four_bits_of_other_layers(tmp_path: Path) -> None:
    """Convolutions have a scale for each channel; ONNX of an opset without int4 becomes one that has it; offsets stay exact."""
    for model in (classifier(), homogeneous(), autoencoder(), encoder(opset=17)):
        done, path, others = quantize(model, tmp_path, ALL)
        check(path, others)
        assert {layer.bits for layer in done.layers} == {4}
        assert all(error.decibels > 10 for error in done.errors.values())
    done, path, others = quantize(Deformable().network(), tmp_path, ALL)
    check(path, others)
    assert [steps.step for steps in done.offsets] == [1 / 16]
    assert 1 / 16 in {numpy_helper.to_array(i).item() for i in onnx.load(path).graph.initializer if not i.dims}


def test_groups_lessen_the_error_of_four_bits(tmp_path: Path) -> None:
    """8 bits are better still."""
    model = encoder(before=True)
    alone, grouped = (decibels(model, tmp_path, Recipe(weight_bits=4, weight_group=group, smooth=0.5)) for group in (0, 16))
    assert alone < grouped < decibels(model, tmp_path, Recipe(smooth=0.5)) - 6


def correlated(k: int = 64, n: int = 24) -> tuple[Layer, NDArray[np.float64]]:
    """A layer, and what it reads, [1000, K]: of few causes."""
    net = Net()
    model = net.model(net.op("MatMul", net.input(1, k), net.normal(k, n)))
    (layer,) = layers_of(converted(model)).values()
    random = np.random.default_rng(2)
    read = random.normal(size=(1000, 12)) @ random.normal(size=(12, k)) + 0.1 * random.normal(size=(1000, k))
    return layer, read


@pytest.mark.parametrize("groups", [1, 4])
def test_rounding_makes_up_for_its_errors(groups: int) -> None:
    layer, read = correlated()

    def noise(matrix: NDArray) -> float:
        return float(np.square(read @ (matrix - layer.matrix)).sum())

    nearest, compensated = (of_four_bits(layer, groups, products) for products in (None, (read.T @ read)[None]))
    assert noise(compensated.matrix) < noise(nearest.matrix) / 3
    largest = np.abs(layer.matrix.reshape(groups, -1, layer.matrix.shape[1])).max(axis=1)
    plain = np.repeat(largest / 7, len(layer.matrix) // groups, axis=0)
    assert np.square(nearest.matrix - layer.matrix).sum() < 0.9 * np.square(np.rint(layer.matrix / plain) * plain - layer.matrix).sum()
    for weights in (nearest, compensated):
        assert (weights.integers.min(), weights.integers.max()) == (-8, 7)
        steps = weights.scale / (weights.scale.max(axis=0) / 255)
        assert np.abs(steps - np.rint(steps)).max() < 1e-3 or groups == 1


def tensor_bytes(op: ir.MatMul) -> int:
    """Of its weights, and of the factors of groups, a byte each."""
    tensor, factors = op.parts[0].b.tensor, op.parameters.factors
    return tensor.rows * tensor.cols * tensor.bits // 8 + (0 if factors is None else factors.size)


def test_zeros_change_no_other_weights() -> None:
    """A group of rows, a column, and rows that only zeros are multiplied with."""
    layer, read = correlated()
    plain = of_four_bits(layer, 4, None)
    array = layer.array.copy()
    array[:16], array[:, 3] = 0, 0
    sparse = of_four_bits(replace(layer, array=array * np.float32(0.001)), 4, None)
    rest = np.delete(np.arange(array.shape[1]), 3)
    error = np.abs(sparse.matrix * 1000 - array)
    assert error[:16].max() == error[:, 3].max() == 0
    assert np.square(error[16:, rest]).sum() < 1.05 * np.square(plain.matrix - layer.array)[16:, rest].sum()
    read[:, :20] = 0
    weights = of_four_bits(layer, 1, (read.T @ read)[None])
    assert np.square(weights.matrix - layer.array)[:20].mean() ** 0.5 < weights.scale.mean() / 2


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "steps": {"strides": [2, 1], "pads": [1, 2, 0, 1]},
    "dilated": {"dilations": [1, 2]},
    "padded alike": {"auto_pad": "SAME_LOWER", "strides": [2, 1]},
    "groups": {"group": 2, "pads": [1] * 4},
    "depthwise": {"group": 4, "strides": [1, 2]},
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_rows_that_layers_multiply(kind: str) -> None:
    """Times the columns they are the layer's results."""
    net, attributes = Net(), CONVOLUTIONS[kind]
    x = net.input(2, 4, 7, 9)
    groups = attributes.get("group", 1)
    model = net.model(net.op("Conv", x, net.normal(8, 4 // groups, 3, 2), **attributes))
    (layer,) = layers_of(converted(model)).values()
    (arrays,) = ({name: array.reshape(2, 4, 7, 9)} for name, array in samples_of(model, 1).items())
    rows = layer.operands(arrays[x])
    assert rows is not None
    wanted = np.asarray(session(model.SerializeToString()).run(None, arrays)[0])
    products = rows @ np.stack(np.split(layer.matrix, groups, axis=1))
    found = products.reshape(groups, 2, -1, 8 // groups).transpose(1, 0, 3, 2).reshape(wanted.shape)
    assert np.abs(found - wanted).max() < 1e-5


def test_rounding_of_convolutions_makes_up_for_its_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for operands in (Layer.operands, lambda self, source: None):
        monkeypatch.setattr(Layer, "operands", operands)
        found.append(decibels(classifier(), tmp_path, Recipe(weight_bits=4)))
    assert found[0] > found[1] + 2


def test_the_size_is_kept(tmp_path: Path) -> None:
    """Bytes of weights, and of factors; more of them never are worse, and all of 8 bits are as without a size."""
    sizes, ratios = [], []
    for kib in (5, 6, 7, 100):
        done, path, others = quantize(encoder(), tmp_path, Recipe(weight_kib=kib, weight_group=16, smooth=0.5))
        graph = check(path, others)
        assert sorted(map(bits_of, weighted(graph))) == sorted(layer.bits for layer in done.layers)
        sizes.append(sum(tensor_bytes(op) for op in weighted(graph)))
        assert sum(layer.size for layer in done.layers) == sizes[-1]
        assert sizes[-1] <= kib * 1024
        ratios.extend(error.decibels for error in done.errors.values())
    assert sizes == sorted(set(sizes))
    assert ratios == sorted(ratios)
    assert ratios[-1] == decibels(encoder(), tmp_path, Recipe(smooth=0.5))


def test_what_matters_most_has_eight_bits() -> None:
    sizes = {"large": (400, 800), "small": (50, 100), "medium": (100, 200)}
    harms = {"large": 3.0, "small": 1.0, "medium": 1.5}
    assert within(sizes, harms, 550) == set()
    assert within(sizes, harms, 600) == {"small"}
    assert within(sizes, harms, 700) == {"small", "medium"}
    assert within(sizes, harms, 1100) == {"large", "small", "medium"}
    assert within(sizes, {**harms, "large": 30.0}, 950) == {"large"}


def test_a_layer_that_matters(tmp_path: Path) -> None:
    """Of two products that are added up, the one whose results are ten times the other's has 8 bits."""
    net = Net()
    x = net.input(8, 32)
    parts = [net.op("MatMul", x, net.normal(32, 32, scale=scale)) for scale in (1, 10)]
    done, _, _ = quantize(net.model(net.op("Add", *parts)), tmp_path, Recipe(weight_kib=1.6))
    assert [layer.bits for layer in done.layers] == [4, 8]


def test_the_report_of_layers(tmp_path: Path) -> None:
    """The errors are those of the results in the quantized network."""
    done, path, _ = quantize(mlp(), tmp_path, Recipe())
    _, last = done.layers
    assert [(layer.k, layer.n, layer.bits, layer.size) for layer in done.layers] == [(12, 20, 8, 240), (20, 7, 8, 140)]
    wanted, found = onnx.load(tmp_path / "float.onnx"), onnx.load(path)
    (node,) = (node for node in wanted.graph.node if node.name == last.name)
    for model in (wanted, found):
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    arrays = [{"input_1": array} for array in np.load(tmp_path / "samples.npz")["input_1"]]
    runs = [np.stack([np.asarray(session(m.SerializeToString()).run([node.output[0]], x)[0]) for x in arrays]) for m in (wanted, found)]
    assert last.error.noise == pytest.approx(np.square(runs[1] - runs[0]).sum(), rel=1e-4)
    assert last.error.signal == pytest.approx(np.square(runs[0]).sum(), rel=1e-4)


def test_the_command(tmp_path: Path) -> None:
    path, data = saved(encoder(), tmp_path)
    options = ["--ranges", "percentile", "--smooth", 0.5, "--weight-group", 16, "--weight-kib", 6]
    result = celosia("quantize", path, "--calibration", data, "-o", tmp_path / "net.onnx", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    for text in ("groups", " of 4", " of 8", "results of each layer", " dB"):
        assert text in result.stdout
    graph = import_model(tmp_path / "net.onnx")
    assert set(map(bits_of, weighted(graph))) == {4, 8}


REFUSED: dict[str, tuple[list[object], str]] = {
    "small groups": (["--weight-bits", 4, "--weight-group", 8], "groups of weights must be of 16 or more, not 8"),
    "negative groups": (["--weight-bits", 4, "--weight-group", -16], "groups of weights must be of 16 or more, not -16"),
    "groups of 8 bits": (["--weight-group", 32], "weights have groups where they have 4 bits: give 4 bits or a size as well"),
    "bits and size": (["--weight-bits", 4, "--weight-kib", 20], "a size chooses between 8 and 4 bits: give no bits as well"),
    "size": (["--weight-kib", 0.1], "{path}: weights of 4 bits are 0.2 KiB, more than 0.1"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals(kind: str, tmp_path: Path) -> None:
    options, message = REFUSED[kind]
    path, data = saved(mlp(), tmp_path)
    found = refused("quantize", path, "--calibration", data, "-o", tmp_path / "net.onnx", *options)
    assert found == message.format(path=path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["float.onnx", "samples.npz"]


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    path, data = saved(mlp(), tmp_path)
    for option, value in (("--smooth", 1.5), ("--smooth", -1), ("--ranges", "all"), ("--weight-bits", 2), ("--weight-kib", -1)):
        result = celosia("quantize", path, "--calibration", data, "-o", tmp_path / "net.onnx", option, value)
        assert result.exit_code == 2
        assert option in result.stderr
