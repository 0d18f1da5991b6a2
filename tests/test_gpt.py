"""The example's language model: its import, the executor beside ONNX Runtime, and a run of it on the golden machine, of few tokens."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from celosia.rtl.arch.targets import TARGETS
from celosia.sw import compile_model
from celosia.sw import graph as ir
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.reference import Reference, compare_layers
from numpy.typing import NDArray
from random_graphs import run_on_golden_machine

from examples.gpt.generate import generate
from examples.gpt.model import integer_executor
from examples.gpt.perplexity import PROMPT, surprise
from examples.gpt.quantize import CONTEXT, QDQ_MODEL
from examples.gpt.text import HERE, PARTS, VOCABULARY, decode, encode, read_part, windows
from examples.length import shortened

LANES = 8
SHORT = 12  # tokens


@pytest.fixture(scope="module")
def graph() -> ir.Graph:
    return import_model(QDQ_MODEL)


@pytest.fixture(scope="module")
def text() -> NDArray[np.int64]:
    """Two windows of the test part, [2, CONTEXT]."""
    return windows(read_part("test"), CONTEXT)[[7, 300]]


def outputs(graph: ir.Graph, tokens: NDArray[np.int64]) -> dict[str, NDArray]:
    """Of [T] tokens, without the batch."""
    values = execute(graph, {"tokens": tokens[None]}, lanes=LANES)
    return {port.name: dequantize_output(port, values[port.tensor.name])[0] for port in graph.outputs}


def test_text() -> None:
    calibration, test = (read_part(name) for name in PARTS)
    assert decode(encode(test)) == test
    assert not set(calibration.splitlines()) & set(test.splitlines())
    assert windows(test, CONTEXT).shape == (len(test) // CONTEXT, CONTEXT)
    with pytest.raises(ValueError, match=r"^the text must have the characters of the vocabulary alone, not '4'$"):
        encode("4")


def test_structure(graph: ir.Graph) -> None:
    kinds = [type(operator).__name__ for operator in graph.operators]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        **{"Fetch": 1, "Add": 7, "LayerNorm": 7, "MatMul": 25, "Softmax": 3, "Table": 3, "Pick": 1},
    }
    width, hidden, blocks = 128, 512, 3
    block = CONTEXT * width * (4 * width + 2 * hidden + 2 * CONTEXT)
    assert graph.macs() == blocks * block + CONTEXT * width * len(VOCABULARY)
    assert QDQ_MODEL.stat().st_size < 900_000


def test_attention_is_causal_on_int8_keys_and_values(graph: ir.Graph) -> None:
    softmaxes = [op for op in graph.operators if isinstance(op, ir.Softmax)]
    assert {(op.parameters.length, op.parameters.rows, op.a.tensor.bits) for op in softmaxes} == {(1, CONTEXT, 16)}
    cached = [op.parts[0].b.tensor for op in graph.operators if isinstance(op, ir.MatMul) and len(op.parts) == 4]
    assert [(t.bits, t.data, t.rows, t.cols) for t in cached] == [(8, None, CONTEXT, 128)] * 6


def test_beside_onnx_runtime(graph: ir.Graph, text: NDArray[np.int64]) -> None:
    reference = Reference(QDQ_MODEL, graph)
    for tokens in text:
        arrays = {"tokens": tokens[None]}
        expected, layers = reference.run(arrays)
        for found in compare_layers(graph, arrays, layers, lanes=LANES):
            assert found.within_one >= 0.99 * found.elements, found.operator
        mine = outputs(graph, tokens)
        assert np.abs(mine["logits"] - expected["logits"][0]).max() < 1
        assert (mine["next"] == expected["next"][0]).mean() > 0.9
        assert (mine["next"] == mine["logits"].argmax(axis=1)).all()


def test_few_tokens(graph: ir.Graph, text: NDArray[np.int64], tmp_path: Path) -> None:
    """The results of the first ones, and the golden machine's, which takes them from external memory."""
    path, tokens = tmp_path / "gpt.onnx", text[0]
    onnx.save(shortened(onnx.load(QDQ_MODEL), SHORT), path)
    program = compile_model(path, replace(TARGETS["medium"], pruning=1))
    whole, few = outputs(graph, tokens), outputs(import_model(path), tokens[:SHORT])
    on_machine = run_on_golden_machine(program, {"tokens": tokens[None, :SHORT]})
    for port in program.graph.outputs:
        assert (few[port.name] == whole[port.name][:SHORT]).all()
        assert (dequantize_output(port, on_machine[port.name])[0] == few[port.name]).all()


def test_surprise() -> None:
    tokens = np.array([0, 1, 2])
    assert surprise(np.zeros((3, 4), np.float32), tokens) == pytest.approx(np.log([4, 4]))
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1, 1, 1]], np.float32))
    assert surprise(logits, tokens) == pytest.approx(-np.log([0.25, 0.8]), abs=1e-6)


def test_generated_text_is_that_of_the_page() -> None:
    begin = generate(integer_executor(QDQ_MODEL), PROMPT, 8)
    assert f"> {PROMPT}{begin}" in (HERE / "README.md").read_text()
