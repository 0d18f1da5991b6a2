"""Local maxima of a map, the K largest of all, and rows by their numbers: imported, run, compiled; and refused."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import compile_model
from celosia.sw import graph as ir
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.topk import with_picks
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.quantize.runtime import session
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx_models import ZERO, Net
from random_graphs import run_on_golden_machine
from test_frontend_errors import refused

INT64 = onnx.TensorProto.INT64
MACHINE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=16, bus_bytes=8, row_elements=64, pruning=1)
LOWEST = np.int8(-128)
K = 6


def map_of(net: Net, classes: int, height: int, width: int) -> str:
    return net.quantized(net.input(1, classes, height, width), 1 / 256, LOWEST)


def pooled(net: Net, heat: str, zero_point: np.int8 = LOWEST) -> str:
    return net.quantized(net.op("MaxPool", heat, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 1 / 256, zero_point)


def is_largest(net: Net, heat: str, largest: str) -> str:
    return net.op("Cast", net.op("Equal", heat, largest), to=onnx.TensorProto.FLOAT)


def peaks(net: Net, heat: str) -> str:
    """Those of a map, not quantized yet."""
    return net.op("Mul", heat, is_largest(net, heat, pooled(net, heat)))


def largest_of(net: Net, flat: str, k: int = K, **attributes: int) -> tuple[str, str]:
    return net.op("TopK", flat, net.constant(np.array([k])), outputs=2, **{"sorted": 0, **attributes})


def model_of(net: Net, **outputs: tuple[tuple[int, ...], int]) -> onnx.ModelProto:
    model = net.model(*outputs)
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, shape) for name, (shape, kind) in outputs.items())
    return model


def results(
    model: onnx.ModelProto, arrays: dict[str, NDArray], path: Path, machine: MachineParameters = MACHINE
) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """ONNX Runtime's and the executor's outputs; those of the golden machine must be the executor's."""
    onnx.save(model, path)
    graph = import_model(path)
    names = [port.name for port in graph.outputs]
    expected = dict(zip(names, map(np.asarray, session(path).run(names, arrays)), strict=True))
    values = execute(graph, arrays, lanes=machine.lanes)
    found = run_on_golden_machine(compile_model(path, machine), arrays)
    for port in graph.outputs:
        assert (found[port.name] == values[port.tensor.name]).all(), port.name
    return expected, {port.name: dequantize_output(port, values[port.tensor.name]) for port in graph.outputs}


def heat_of(shape: tuple[int, ...], levels: int, seed: int = 3) -> NDArray[np.float32]:
    """Random steps, so few different ones that many are equal."""
    return (np.random.default_rng(seed).integers(0, levels, shape) * (240 // levels) / 256).astype(np.float32)


@pytest.mark.parametrize("levels", [2, 5, 240])
def test_local_maxima(levels: int, tmp_path: Path) -> None:
    net = Net()
    model = net.model(net.quantized(peaks(net, map_of(net, 3, 6, 9)), 1 / 256, LOWEST))
    expected, found = results(model, {"input_1": heat_of((1, 3, 6, 9), levels)}, tmp_path / "net.onnx")
    (name,) = expected
    assert (found[name] == expected[name]).all()
    assert 0 < (found[name] > 0).mean() < 1


def detections(classes: int = 5, height: int = 8, width: int = 10, k: int = K) -> onnx.ModelProto:
    """Of a map, as CenterNet's: scores, classes and pixels of the k best, their rows of two more channels, and of a table."""
    net = Net()
    kept = net.quantized(peaks(net, map_of(net, classes, height, width)), 1 / 256, LOWEST)
    pixels = height * width
    scores, places = largest_of(net, net.shape(kept, 1, -1), k)
    count = net.constant(np.array(pixels))
    kind, pixel = (net.op(of, places, count) for of in ("Div", "Mod"))
    sizes = net.quantized(net.input(1, 2, height, width), 0.1, np.int16(0))
    rows = net.op("Gather", net.shape(net.op("Transpose", sizes, perm=[0, 2, 3, 1]), pixels, 2), pixel)
    corners = net.constant(np.stack(np.divmod(np.arange(pixels), width), 1).astype(np.float32))
    corner = net.quantized(net.op("Gather", corners, pixel), 0.1, np.int16(0))
    placed = net.quantized(net.op("Add", rows, corner), 0.1, np.int16(0))
    return model_of(
        net,
        **{scores: ((1, k), 1), kind: ((1, k), INT64), pixel: ((1, k), INT64), rows: ((1, k, 2), 1), placed: ((1, k, 2), 1)},
    )


def as_rows(outputs: dict[str, NDArray]) -> NDArray:
    """A row for each detection, by class and pixel."""
    scores, kinds, pixels, *boxes = (array[0].astype(np.float64) for array in outputs.values())
    table = np.column_stack([kinds, pixels, scores, *boxes])
    return table[np.lexsort(table[:, 1::-1].T)]


@pytest.mark.parametrize("weight_bits", [4, 8])
@pytest.mark.parametrize("levels", [1, 3, 240])
@pytest.mark.parametrize("shape", [(5, 8, 10), (1, 8, 10), (3, 20, 30)])
def test_detections_are_those_of_onnx_runtime(shape: tuple[int, int, int], levels: int, weight_bits: int, tmp_path: Path) -> None:
    """With weights of 4 bits the map, of 8, is turned in halves."""
    model, random = detections(*shape), np.random.default_rng(1)
    heat, sizes = (info.name for info in model.graph.input)
    arrays = {heat: heat_of((1, *shape), levels), sizes: random.normal(size=(1, 2, *shape[1:])).astype(np.float32)}
    expected, found = results(model, arrays, tmp_path / "net.onnx", replace(MACHINE, weight_bits=weight_bits))
    rows, wanted = as_rows(found), as_rows(expected)
    assert np.abs(rows - wanted).max() < 1e-5
    flat = rows[:, 0] * shape[1] * shape[2] + rows[:, 1]
    assert len(set(flat)) == K


def test_a_large_map(tmp_path: Path) -> None:
    """327,680 elements, of which many are equal."""
    net, shape, k = Net(), (1, 20, 128, 128), 100
    pairs = net.quantized(net.op("MaxPool", map_of(net, *shape[1:]), kernel_shape=[1, 2], pads=[0, 0, 0, 1]), 1 / 256, LOWEST)
    scores, places = largest_of(net, net.shape(pairs, 1, -1), k)
    count = net.constant(np.array(128 * 128))
    outputs = {scores: ((1, k), 1), **{net.op(of, places, count): ((1, k), INT64) for of in ("Div", "Mod")}}
    heat, machine = heat_of(shape, 240), MachineParameters(rows=16, cols=16, row_elements=1024, pruning=1)
    expected, found = results(model_of(net, **outputs), {"input_1": heat}, tmp_path / "net.onnx", machine)
    assert (as_rows(found) == as_rows(expected)).all()
    _, kinds, pixels = (array[0] for array in found.values())
    of_two = np.maximum(heat, np.pad(heat, ((0, 0), (0, 0), (0, 0), (0, 1)))[..., 1:])
    assert (kinds * 128 * 128 + pixels == np.sort(np.argsort(-of_two.ravel(), kind="stable")[:k])).all()


@settings(deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 300), st.sampled_from((4, 6, 8, 16)), st.sampled_from((16, 64, 256)), st.booleans())
def test_picks_find_the_largest(data: st.DataObject, rows: int, cols: int, word: int, longest: int, wide: bool) -> None:
    k, bits = data.draw(st.integers(1, min(40, rows * cols))), 16 if wide else 8
    machine = replace(MACHINE, rows=word, cols=word, lanes=1, row_elements=longest)
    about = {"rows": rows, "cols": cols, "bits": bits, "scale": 1.0, "zero_point": 0}
    a = ir.Tensor(name="a", **about)
    values, *numbers = (
        ir.Tensor(name=name, **{**about, "rows": 1, "cols": k, "bits": b}) for name, b in (("v", bits), ("r", 16), ("c", 16))
    )
    op = ir.TopK(name="top", node="top", a=a.whole, values=values.whole, rows=numbers[0].whole, cols=numbers[1].whole)
    permutation = np.arange(rows * cols).reshape(rows, cols)
    dtype, port = np.dtype(f"int{bits}"), {"scale": 1.0, "zero_point": 0}
    source = ir.GraphInput(name="a", shape=(rows, cols), dtype=dtype, tensor=a, permutation=permutation, **port)
    outputs = tuple(
        ir.GraphOutput(name=t.name, shape=(k,), dtype=np.dtype(f"int{t.bits}"), tensor=t, permutation=np.arange(k)[None], **port)
        for t in (values, *numbers)
    )
    graph = ir.Graph(inputs=(source,), outputs=outputs, operators=(op,), tensors={t.name: t for t in (a, values, *numbers)})
    try:
        picks = with_picks(graph, machine)
    except CompileError:
        reject()
    array = np.random.default_rng(rows).integers(-3, 3, (rows, cols)).astype(dtype)
    wanted, found = (execute(of, {"a": array}, lanes=1) for of in (graph, picks))
    assert all((wanted[t.name] == found[t.name]).all() for t in (values, *numbers))


def _pooled(net: Net, *shape: int) -> str:
    """A map whose pixels are rows, flat."""
    return net.shape(net.quantized(net.op("MaxPool", map_of(net, *shape), kernel_shape=[1, 1]), 1 / 256, LOWEST), 1, -1)


def _sorted(net: Net) -> str:
    return largest_of(net, _pooled(net, 3, 4, 4), sorted=1)[0]


def _several_rows(net: Net) -> str:
    return largest_of(net, map_of(net, 1, 3, 12))[0]


def _mixed(net: Net) -> str:
    return largest_of(net, net.shape(net.op("Transpose", net.shape(_pooled(net, 3, 4, 4), 1, 3, 4, 4), perm=[0, 2, 1, 3]), 1, -1))[0]


def _other_divisor(net: Net) -> str:
    kind = net.op("Div", largest_of(net, _pooled(net, 3, 4, 4))[1], net.constant(np.array(3)))
    return net.op("Gather", net.normal(16, 2), kind)


def _indices(net: Net) -> str:
    return net.op("Gather", net.normal(48, 2), largest_of(net, _pooled(net, 3, 4, 4))[1])


def _few_rows(net: Net) -> str:
    pixel = net.op("Mod", largest_of(net, _pooled(net, 3, 4, 4))[1], net.constant(np.array(16)))
    return net.op("Gather", net.normal(15, 2), pixel)


def _of_columns(net: Net) -> str:
    pixel = net.op("Mod", largest_of(net, _pooled(net, 3, 4, 4))[1], net.constant(np.array(16)))
    return net.op("Gather", net.quantized(net.input(2, 16)), pixel, axis=1)


def _other_scale(net: Net) -> str:
    heat = map_of(net, 2, 4, 4)
    return is_largest(net, heat, net.quantized(net.op("MaxPool", heat, kernel_shape=[1, 1]), 0.5))


def _beside(net: Net) -> str:
    heat = map_of(net, 2, 4, 4)
    below = net.op("MaxPool", heat, kernel_shape=[2, 1], pads=[1, 0, 1, 0], dilations=[2, 1])
    return is_largest(net, heat, net.quantized(below, 1 / 256, LOWEST))


def _where_alone(net: Net) -> str:
    heat = map_of(net, 2, 4, 4)
    return net.quantized(is_largest(net, heat, pooled(net, heat)))


def _with_negatives(net: Net) -> str:
    heat = net.quantized(net.input(1, 2, 4, 4), 1 / 256)
    return net.op("Mul", heat, is_largest(net, heat, pooled(net, heat, ZERO)))


def _requantized(net: Net) -> str:
    return net.quantized(peaks(net, map_of(net, 2, 4, 4)), 1 / 128, LOWEST)


PAIR = "it is supported only between a map and its MaxPool in steps of one pixel, quantized alike"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (_sorted, "only a constant number of the largest in the order of the row is supported: sorted = 0, largest = 1"),
        (_several_rows, "only of one row the largest can be found, not of [1, 1, 3, 12]"),
        (_mixed, "its elements are neither those of the stored maxpool_8[16x3 int8] row after row, nor column after column"),
        (_other_divisor, "indices of node_TopK_15 can only be divided by 16, the pixels of a channel"),
        (_indices, "the numbers topk_14 must be an int32 or int64 input of the network, or found by ArgMax, or TopK and Mod or Div"),
        (_few_rows, "the numbers mod_17 end at 15, but there are only 15 rows"),
        (_of_columns, "by computed numbers only rows of a matrix as it is stored can be taken, not along axis 1 of [2, 16]"),
        (_other_scale, PAIR),
        (_beside, PAIR),
        (_where_alone, "where a map equals its MaxPool is only taken times that map, without QuantizeLinear in between"),
        (_with_negatives, "input_1[16x2 int8] must hold no negative numbers: its zero point must be -128"),
        (_requantized, "its result must be quantized as the map is"),
    ],
)
def test_refused(build: Callable[[Net], str], message: str, tmp_path: Path) -> None:
    net = Net()
    found = refused(net.model(build(net), shape=None), tmp_path)
    assert re.sub(r"_\d+\b", "", re.sub(r"^node node_\w+ \(\w+\) of [^:]*: ", "", found)) == re.sub(r"_\d+\b", "", message)


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (replace(MACHINE, pruning=0), "what prunes, looks rows up or finds the largest needs a machine with pruning"),
        (replace(MACHINE, row_elements=16), "row_elements must be at least 32 for its 10"),
    ],
)
def test_machines_that_cannot(machine: MachineParameters, message: str, tmp_path: Path) -> None:
    onnx.save(detections(k=10), tmp_path / "net.onnx")
    with pytest.raises(CompileError, match=message):
        compile_model(tmp_path / "net.onnx", machine)


def test_rows_too_short_for_words(tmp_path: Path) -> None:
    onnx.save(detections(3, 3, 3), tmp_path / "net.onnx")
    with pytest.raises(CompileError, match="its rows must have at least 16 elements, or fill words of 16"):
        compile_model(tmp_path / "net.onnx", replace(MACHINE, rows=16, cols=16))


def test_results_that_nothing_reads_are_not_made(tmp_path: Path) -> None:
    net = Net()
    onnx.save(net.model(largest_of(net, _pooled(net, 2, 6, 6))[0], shape=(1, K)), tmp_path / "net.onnx")
    program = compile_model(tmp_path / "net.onnx", MACHINE)
    assert [type(op) for op in program.graph.operators].count(ir.Pick) == 3
