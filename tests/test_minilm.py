"""The example's sentence encoder, in small: no weights of it are here. Its tokenizer isn't either."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.quantize.network import quantize_network
from celosia.sw.quantize.runtime import session
from numpy.typing import NDArray
from onnx_models import Net
from random_graphs import run_on_golden_machine

from examples.length import shortened
from examples.minilm.evaluate import rank_correlation
from examples.minilm.machine import MACHINE, by_executor, by_length, for_tokens, normalized, real
from examples.minilm.quantize import RECIPES
from examples.minilm.search import nearest

CONTEXT, WORDS, WIDTH, HEADS, HIDDEN = 12, 50, 64, 2, 128


def layernorm(net: Net, x: str) -> str:
    return net.op("LayerNormalization", x, net.normal(WIDTH, mean=1, scale=0.2), net.normal(WIDTH, scale=0.2), axis=-1)


def layer(net: Net, x: str) -> str:
    """Post-norm, with all attending to all."""
    split = (net.shape(net.linear(x, WIDTH, WIDTH), 1, CONTEXT, HEADS, WIDTH // HEADS) for _ in range(3))
    q, k, v = (net.op("Transpose", part, perm=perm) for part, perm in zip(split, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True))
    mixed = net.op("MatMul", net.op("Softmax", net.op("MatMul", q, k), axis=-1), v)
    beside = net.shape(net.op("Transpose", mixed, perm=[0, 2, 1, 3]), 1, CONTEXT, WIDTH)
    x = layernorm(net, net.op("Add", x, net.linear(beside, WIDTH, WIDTH)))
    return layernorm(net, net.op("Add", x, net.linear(net.op("Gelu", net.linear(x, WIDTH, HIDDEN)), HIDDEN, WIDTH)))


def encoder() -> onnx.ModelProto:
    """[1, CONTEXT] tokens to [1, WIDTH], as the example's, with random weights."""
    net = Net()
    words = net.op("Gather", net.normal(WORDS, WIDTH), net.input(1, CONTEXT, kind=onnx.TensorProto.INT64))
    position = net.constant(net.random.normal(size=(CONTEXT, WIDTH)).astype(np.float32), "position")
    x = layer(net, layernorm(net, net.op("Add", words, position)))
    model = net.model(net.op("ReduceMean", x, net.constant(np.array([1])), keepdims=0))
    for node in model.graph.node:
        node.input[:] = ["tokens" if name == model.graph.input[0].name else name for name in node.input]
    model.graph.input[0].name = "tokens"
    return model


def sequences(count: int, length: int) -> NDArray[np.int64]:
    return np.random.default_rng(3).integers(WORDS, size=(count, length))


@pytest.mark.parametrize("bits", RECIPES)
@pytest.mark.parametrize("length", [CONTEXT, 7])
def test_embedding_of_any_length(bits: int, length: int, tmp_path: Path) -> None:
    """On the golden machine as in the executor, and near the float network's."""
    model, (tokens,) = encoder(), sequences(1, length)[:, None]
    onnx.save(model, tmp_path / "float.onnx")
    np.savez(tmp_path / "samples.npz", tokens=sequences(8, CONTEXT))
    quantize_network(tmp_path / "float.onnx", tmp_path / "samples.npz", tmp_path / "quantized.onnx", RECIPES[bits])
    graph = for_tokens(tmp_path / "quantized.onnx", length)
    integers = by_executor(graph, tokens)
    found = run_on_golden_machine(compile_graph(graph, MACHINE), {"tokens": tokens})
    assert (found[graph.outputs[0].name] == integers).all()
    network = session(shortened(model, length).SerializeToString())
    expected = normalized(np.asarray(network.run(None, {"tokens": tokens})[0])[0])
    assert real(graph, integers) @ expected > (0.999 if bits == 8 else 0.99)


def test_by_length() -> None:
    sentences = [np.zeros((1, length), np.int64) for length in (5, 3, 5, 4)]
    assert list(by_length(sentences)) == [(3, [1]), (4, [3]), (5, [0, 2])]


def test_nearest_and_ranks() -> None:
    vectors = normalized(np.random.default_rng(4).normal(size=(20, 8)))
    assert nearest(vectors[7], vectors, 3)[0] == 7
    assert [*nearest(-vectors[7], vectors, 20)][-1] == 7
    assert rank_correlation(vectors, vectors) == pytest.approx(1)
    assert rank_correlation(vectors, vectors[::-1]) < 0.5
