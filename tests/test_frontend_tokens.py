"""Rows of a table by the numbers in an input, and the number of the largest of each row: imported, run, compiled; and refused."""

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
from celosia.sw.executor import InputError, check_input, dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.reference import Reference
from celosia.sw.manifest import Manifest, ManifestError
from celosia.sw.report.page import random_array
from numpy.typing import NDArray
from onnx_models import Net
from random_graphs import run_on_golden_machine
from test_frontend_errors import refused

INT32, INT64 = onnx.TensorProto.INT32, onnx.TensorProto.INT64
MACHINE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=16, bus_bytes=8, pruning=1)
ROWS, COLS = 9, 20  # of the table
SYMMETRIC = np.int16(0)


def looked_up(net: Net, *shape: int, kind: int = INT64) -> str:
    """Rows of a table by a new input, not quantized yet."""
    return net.op("Gather", net.normal(ROWS, COLS), net.input(*shape, kind=kind))


def embedded(kind: int = INT64, zero_point: np.generic = SYMMETRIC) -> onnx.ModelProto:
    """[2, 5] numbers to a product with their rows."""
    net = Net()
    x = net.quantized(net.quantized(looked_up(net, 2, 5, kind=kind), 0.0001, zero_point))
    return net.model(net.quantized(net.op("MatMul", x, net.weights(COLS, 7)), 0.1))


def chosen(x: str, net: Net, **attributes: int) -> onnx.ModelProto:
    return net.model(net.op("ArgMax", x, **attributes), kind=INT64)


def results(model: onnx.ModelProto, arrays: dict[str, NDArray], tmp_path: Path) -> tuple[NDArray, NDArray]:
    """ONNX Runtime's and the executor's; the golden machine's must be the executor's."""
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    graph = import_model(path)
    (port,) = graph.outputs
    expected, _ = Reference(path, graph).run(arrays)
    values = execute(graph, arrays, lanes=MACHINE.lanes)[port.tensor.name]
    assert (run_on_golden_machine(compile_model(path, MACHINE), arrays)[port.name] == values).all()
    return expected[port.name], dequantize_output(port, values)


@pytest.mark.parametrize(("kind", "dtype"), [(INT64, np.int64), (INT32, np.int32)])
@pytest.mark.parametrize("zero_point", [np.int16(0), np.uint16(30000), np.int8(-3)])
def test_rows_of_a_table(kind: int, dtype: type, zero_point: np.generic, tmp_path: Path) -> None:
    numbers = np.array([[0, 8, 3, 3, 1], [7, 0, 8, 2, 5]], dtype)
    expected, found = results(embedded(kind, zero_point), {"input_2": numbers}, tmp_path)
    assert found.shape == (2, 5, 7)
    assert np.abs(found - expected).max() <= 0.1 + 1e-6  # a step


def test_rows_are_those_of_onnx_runtime(tmp_path: Path) -> None:
    net = Net()
    numbers = np.arange(ROWS)[::-1].reshape(3, 3).copy()
    expected, found = results(net.model(net.quantized(looked_up(net, 3, 3))), {"input_2": numbers}, tmp_path)
    assert (found == expected).all()


def test_two_tables(tmp_path: Path) -> None:
    net = Net()
    numbers = net.input(4, kind=INT64)
    rows = [net.quantized(net.op("Gather", net.normal(ROWS, COLS), numbers)) for _ in range(2)]
    array = np.array([8, 0, 0, 5])
    expected, found = results(net.model(net.quantized(net.op("Add", *rows), 0.1)), {numbers: array}, tmp_path)
    assert np.abs(found - expected).max() <= 0.1 + 1e-6  # a step


@pytest.mark.parametrize("keepdims", [0, 1])
def test_largest_of_each_row(keepdims: int, tmp_path: Path) -> None:
    net = Net()
    x = np.random.default_rng(2).integers(-3, 4, (2, 3, 11)).astype(np.float32)  # many are equal
    expected, found = results(chosen(net.quantized(net.input(2, 3, 11)), net, axis=-1, keepdims=keepdims), {"input_1": x}, tmp_path)
    assert found.dtype == np.int64
    assert found.shape == ((2, 3, 1) if keepdims else (2, 3))
    assert (found == expected).all()


def test_largest_of_the_last_row(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(4, 11), 0.001, np.int16(0))
    last = net.op("Slice", x, *(net.constant(np.array([n])) for n in (3, 4, 0)))
    array = np.random.default_rng(2).normal(size=(4, 11)).astype(np.float32)
    expected, found = results(chosen(last, net, axis=1), {"input_1": array}, tmp_path)
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (np.full((2, 5), 9), "input input_2 must hold numbers in 0..8, not 9"),
        (np.full((2, 5), -1), "input input_2 must hold numbers in 0..8, not -1"),
        (np.full((2, 5), 1 << 40), "input input_2 must hold numbers in 0..8, not 1099511627776"),
        (np.zeros((2, 5), np.int32), "input input_2 must be int64, not int32"),
        (np.zeros((5, 2), np.int64), "input input_2 must have the shape [2, 5], not [5, 2]"),
    ],
)
def test_numbers_are_checked(numbers: NDArray, message: str, tmp_path: Path) -> None:
    onnx.save(embedded(), tmp_path / "net.onnx")
    with pytest.raises(InputError) as caught:
        execute(import_model(tmp_path / "net.onnx"), {"input_2": numbers}, lanes=4)
    assert str(caught.value) == message


def _computed_table(net: Net) -> str:
    return net.quantized(net.op("Gather", net.quantized(net.input(9, 8)), net.input(4, kind=INT64)))


def _columns(net: Net) -> str:
    return net.quantized(net.op("Gather", net.normal(9, 8), net.input(4, kind=INT64), axis=1))


def _two_tables(net: Net) -> str:
    numbers = net.input(4, kind=INT64)
    a, b = (net.quantized(net.op("Gather", net.normal(rows, 8), numbers)) for rows in (9, 7))
    return net.quantized(net.op("Add", a, b))


def _part_of_the_numbers(net: Net) -> str:
    numbers = net.op("Gather", net.input(4, kind=INT64), net.constant(np.array([0, 2])))
    return net.quantized(net.op("Gather", net.normal(9, 8), numbers))


def _computed_numbers(net: Net) -> str:
    numbers = net.op("ArgMax", net.quantized(net.input(4, 9)), axis=1, keepdims=0)
    return net.quantized(net.op("Gather", net.normal(9, 8), numbers))


def _infinite(net: Net) -> str:
    table = net.constant(np.full((9, 8), np.inf, np.float32), "table")
    return net.quantized(net.op("Gather", table, net.input(4, kind=INT64)))


def _long(net: Net) -> str:
    return net.quantized(net.op("Gather", net.normal((1 << 15) + 1, 2), net.input(4, kind=INT64)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (_computed_table, "[9, 8], [4]: its input dequantizelinear_6 must be a constant"),
        (_columns, "[9, 8], [4]: by the numbers in an input only rows of a table can be looked up, not along axis 1 of [9, 8]"),
        (_two_tables, "[7, 8], [4]: its table has 7 rows, but another one by the numbers in input_1 has 9"),
        (_part_of_the_numbers, "[9, 8], [2]: the numbers gather_3 must be all of the input input_1 in its order"),
        (_computed_numbers, "[9, 8], [4]: the numbers argmax_8 must be a row of the machine's, in its order, not argmax_8[4x1 int16]"),
        (_infinite, "[9, 8], [4]: its input table must be finite"),
        (_long, "[32769, 2], [4]: it has 32769 rows, but the machine's numbers of rows end at 32767"),
    ],
)
def test_tables_refused(build: Callable[[Net], str], message: str, tmp_path: Path) -> None:
    net = Net()
    found = refused(net.model(build(net), shape=None), tmp_path)
    assert re.sub(r"^node node_Gather_\d+ \(Gather\) of ", "", found) == message


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"axis": 0}, "its axis must be the last one, not 0"),
        ({"axis": 1, "select_last_index": 1}, "of equal elements only the first can be found, not the last"),
    ],
)
def test_argmax_refused(attributes: dict[str, int], message: str, tmp_path: Path) -> None:
    net = Net()
    found = refused(chosen(net.quantized(net.input(4, 9)), net, **attributes), tmp_path)
    assert re.sub(r"^node node_ArgMax_\d+ \(ArgMax\) of ", "", found) == f"[4, 9]: {message}"


def test_needs_a_machine_with_pruning(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(embedded(), path)
    with pytest.raises(CompileError, match="what prunes, looks rows up or finds the largest needs a machine with pruning"):
        compile_model(path, replace(MACHINE, pruning=0))


def test_rows_that_are_too_long(tmp_path: Path) -> None:
    net, path = Net(), tmp_path / "net.onnx"
    onnx.save(chosen(net.quantized(net.input(2, 40)), net, axis=1), path)
    with pytest.raises(CompileError, match="its rows have 40 elements, but row_elements is 32"):
        compile_model(path, replace(MACHINE, row_elements=32))


def test_manifest_keeps_the_choices(tmp_path: Path) -> None:
    onnx.save(embedded(), tmp_path / "net.onnx")
    Manifest.of(compile_model(tmp_path / "net.onnx", MACHINE), rom=False).save(tmp_path)
    (layout,) = Manifest.load(tmp_path).inputs
    assert isinstance(layout.port, ir.GraphInput)
    assert layout.port.choices == ROWS
    check_input(layout.port, random_array(layout.port, np.random.default_rng(1)))
    text = (tmp_path / "manifest.json").read_text()
    for choices in (0, 40000):
        (tmp_path / "manifest.json").write_text(text.replace('"choices": 9', f'"choices": {choices}'))
        with pytest.raises(ManifestError, match=f"input_2 must have choices .* not {choices}$"):
            Manifest.load(tmp_path)
