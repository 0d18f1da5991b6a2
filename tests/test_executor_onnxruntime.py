"""The integer executor against ONNX Runtime, on what quantize_static makes of small networks in its various settings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_models
import pytest
from celosia.rtl.arch.formats import Format
from celosia.sw import graph as ir
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.reference import Reference, compare_layers
from numpy.typing import ArrayLike, NDArray
from onnx_models import Net
from onnxruntime.quantization import QuantType

LANES = 8
INT8 = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
UINT8 = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
TRANSFORMER = ["MatMul", "Gemm", "Add", "Mul", "LayerNormalization", "Softmax", "Gelu", "ReduceMean"]

MOVED = ["Conv", "Relu", "Concat", "Reshape", "Transpose", "Split", "Slice"]
GATED = ["MatMul", "Add", "Mul", "Sigmoid"]

VARIANTS: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, Any]]] = {
    "mlp int8 symmetric per channel": (onnx_models.mlp, {**INT8, "per_channel": True, "extra": {"ActivationSymmetric": True}}),
    "mlp int8 asymmetric": (onnx_models.mlp, INT8),
    "mlp uint8 asymmetric": (onnx_models.mlp, UINT8),
    "mlp uint8 weights": (onnx_models.mlp, {**UINT8, "weight_type": QuantType.QUInt8}),
    "mlp weights quantized in the graph": (onnx_models.mlp, {**INT8, "extra": {"AddQDQPairToWeight": True}}),
    "mlp a pair for each reader": (onnx_models.mlp, {**INT8, "extra": {"DedicatedQDQPair": True}}),
    "attention int8": (onnx_models.attention, {**INT8, "op_types_to_quantize": TRANSFORMER, "per_channel": True}),
    "attention uint8": (onnx_models.attention, {**UINT8, "op_types_to_quantize": TRANSFORMER}),
    "attention, every operator": (
        onnx_models.attention,
        {**UINT8, "op_types_to_quantize": [*TRANSFORMER, "Reshape", "Transpose"]},
    ),
    "attention fused": (
        lambda: onnx_models.attention(fused=True),
        {**INT8, "op_types_to_quantize": TRANSFORMER, "per_channel": True},
    ),
    "attention fused, split quantized": (
        lambda: onnx_models.attention(fused=True),
        {**UINT8, "op_types_to_quantize": [*TRANSFORMER, "Split"]},
    ),
    "gates int8": (lambda: onnx_models.gated(5, 12, 20), {**INT8, "op_types_to_quantize": GATED, "per_channel": True}),
    "gates uint8": (lambda: onnx_models.gated(5, 12, 20), {**UINT8, "op_types_to_quantize": GATED}),
    "overlapping convolutions": (
        lambda: onnx_models.convolutions(strides=[2, 1], dilations=[1, 2], pads=[0, 1, 2, 1]),
        {**UINT8, "per_channel": True},
    ),
    "overlapping convolutions, padded alike": (lambda: onnx_models.convolutions(strides=[2, 2], auto_pad="SAME_LOWER"), INT8),
    "pooling int8": (lambda: onnx_models.pooled("GlobalAveragePool"), {**INT8, "per_channel": True}),
    "pooling uint8": (lambda: onnx_models.pooled("ReduceMean"), UINT8),
    "max pooling int8": (onnx_models.max_pooled, {**INT8, "per_channel": True}),
    "max pooling uint8": (onnx_models.max_pooled, UINT8),
    "shuffled channels int8": (onnx_models.shuffled, {**INT8, "per_channel": True}),
    "shuffled channels uint8, slices": (lambda: onnx_models.shuffled(4, sliced=True), {**UINT8, "op_types_to_quantize": MOVED}),
    "shuffled channels, every operator": (lambda: onnx_models.shuffled(3, branch=False), {**INT8, "op_types_to_quantize": MOVED}),
    "upsampling int8": (onnx_models.generator, INT8),
    "upsampling uint8": (onnx_models.generator, {**UINT8, "per_channel": True}),
    "transposed convolutions": (onnx_models.autoencoder, {**INT8, "op_types_to_quantize": ["Conv", "ConvTranspose", "Add", "Mul", "Exp"]}),
    "convolution uint8": (onnx_models.patch_convolution, {**UINT8, "per_channel": True}),
    "convolution int8": (onnx_models.patch_convolution, INT8),
}


def check_layers(path: Path, samples: list[dict[str, NDArray]], steps: int) -> ir.Graph:
    """Every layer within one step of ONNX Runtime in 99 % of elements, given its inputs; the outputs within ``steps`` without."""
    graph = import_model(path)
    reference = Reference(path, graph)
    totals: dict[str, tuple[int, int]] = dict.fromkeys(graph.layers, (0, 0))
    for arrays in samples:
        outputs, layers = reference.run(arrays)
        compared = (operator for operator in graph.operators if operator.outputs[0].tensor.name in layers)
        for operator, found in zip(compared, compare_layers(graph, arrays, layers, lanes=LANES), strict=True):
            tensor = operator.outputs[0].tensor.name
            elements, within_one = totals[tensor]
            totals[tensor] = elements + found.elements, within_one + found.within_one
            assert found.worst <= 2, found
        values = execute(graph, arrays, lanes=LANES)
        for port in graph.outputs:
            result, expected = dequantize_output(port, values[port.tensor.name]), outputs[port.name]
            assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
            step = port.scale if result.dtype.kind == "f" else 1
            assert np.abs(result.astype(np.float64) - expected).max() <= steps * step * 1.001
    for tensor, (elements, within_one) in totals.items():
        assert within_one >= 0.99 * elements, tensor
    return graph


@pytest.mark.parametrize("variant", VARIANTS)
def test_quantize_static(variant: str, tmp_path: Path) -> None:
    make, options = VARIANTS[variant]
    model = make()
    path = onnx_models.quantize(model, tmp_path / "qdq.onnx", **options)
    check_layers(path, onnx_models.samples(model, 10, seed=3), steps=6)


def names(graph: ir.Graph) -> list[str]:
    return [type(operator).__name__ for operator in graph.operators]


def check(net: Net, tmp_path: Path, *outputs: str, steps: int = 1, **options: Any) -> ir.Graph:
    """Save a network written in QDQ by hand and check it."""
    model = net.model(*outputs, **options)
    onnx.save(model, tmp_path / "net.onnx")
    return check_layers(tmp_path / "net.onnx", onnx_models.samples(model, 10, seed=4), steps)


def test_bias_factor_and_relu_become_part_of_the_product(tmp_path: Path) -> None:
    net = Net()
    product = net.op("MatMul", net.quantized(net.input(2, 5, 8)), net.weights(8, 6, np.linspace(0.01, 0.03, 6)))
    scaled = net.op("Div", net.op("Add", product, net.normal(6)), net.constant(np.float32(1.7)))
    result = net.op("Relu", net.op("Add", net.normal(6), scaled))
    graph = check(net, tmp_path, net.quantized(result, 0.02, np.uint8(3)))
    assert names(graph) == ["MatMul"]
    assert graph.operators[0].parameters.low == 3 - 128  # pyright: ignore[reportAttributeAccessIssue]


def test_gemm(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(3, 8), 0.03, np.uint8(100))
    first = net.op("Gemm", x, net.weights(8, 4, 0.02), net.normal(1, 4), alpha=0.5, beta=2.0)
    second = net.op("Gemm", net.quantized(first, 0.03), net.weights(6, 4, 0.02), transB=1)
    assert names(check(net, tmp_path, net.quantized(second, 0.04, np.int16(7)), steps=2)) == ["MatMul", "MatMul"]


def test_asymmetric_weights(tmp_path: Path) -> None:
    net = Net()
    product = net.op("MatMul", net.quantized(net.input(3, 8)), net.weights(8, 4, 0.02, "uint8", 131))
    graph = check(net, tmp_path, net.quantized(product))
    assert graph.operators[0].parameters.b_zero_point == 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("kind", "zero_point", "opset"), [("int4", 0, 21), ("uint4", 9, 21), ("int2", 0, 25), ("uint2", 1, 25)])
def test_narrow_weights(kind: str, zero_point: int, opset: int, tmp_path: Path) -> None:
    net = Net()
    first = net.op("MatMul", net.quantized(net.input(3, 40)), net.weights(40, 20, np.linspace(0.01, 0.1, 20), kind, zero_point))
    second = net.op("Gemm", net.quantized(first, 0.1), net.weights(7, 20, 0.05, kind, zero_point), transB=1)
    graph = check(net, tmp_path, net.quantized(second, 0.1), opset=opset, steps=2)
    assert [operator.inputs[1].tensor.bits for operator in graph.operators] == [Format.of(kind).bits] * 2


@pytest.mark.parametrize(
    ("kind", "zero_point", "group", "transposed"),
    [("int4", 0, 16, False), ("uint4", 9, 32, True), ("int4", -8, 48, True), ("int8", -3, 24, False)],
)
def test_scales_of_groups(kind: str, zero_point: int, group: int, transposed: bool, tmp_path: Path) -> None:
    net, (m, k, n) = Net(), (20, 96, 11)
    shape = (n, k // group) if transposed else (k // group, n)
    scales = 10 ** net.random.uniform(-3, -1, shape)  # each group's error shows
    weights = net.weights(*((n, k) if transposed else (k, n)), scales, kind, zero_point, axis=int(transposed), block_size=group)
    x = net.quantized(net.input(m, k), 0.02, np.int8(-7))
    product = net.op("Gemm", x, weights, net.normal(n), transB=int(transposed))
    model = net.model(net.quantized(product, 2.0**-8, np.int16(5)))
    onnx.save(model, tmp_path / "net.onnx")
    graph = import_model(tmp_path / "net.onnx")
    (operator,) = graph.operators
    assert isinstance(operator, ir.MatMul)
    assert operator.groups == k // group
    (arrays,) = onnx_models.samples(model, 1, seed=5)
    values = execute(graph, arrays, lanes=LANES)
    a, b, out = (values[block.tensor.name] for block in (*operator.inputs, *operator.outputs))
    (expected,) = Reference(tmp_path / "net.onnx", graph).run(arrays)[1].values()
    a, b = a + 7, (b - operator.parameters.b_zero_point).T
    sums = np.einsum("mgk,gkn->mgn", a.reshape(m, -1, group), b.reshape(-1, group, n)) * 0.02
    scales = scales.T if transposed else scales
    error = np.abs(sums).sum(axis=1) * scales.max(axis=0) / 510 * 2.0**8  # as golden/matmul.py's split_scales says
    assert 0.5 < np.median(error) < 50
    assert (np.abs(expected) < 32767).mean() > 0.99
    assert (np.abs(out - expected) <= error + np.abs(expected) * 2.0**-15 + 1).all()


def test_queries_scaled_without_quantization(tmp_path: Path) -> None:
    net = Net()
    q, k = net.quantized(net.input(1, 2, 5, 8), 0.03), net.quantized(net.input(1, 2, 5, 8), 0.03, np.int8(9))
    scores = net.op("MatMul", net.op("Mul", q, net.constant(np.float32(0.3))), net.op("Transpose", k, perm=[0, 1, 3, 2]))
    assert names(check(net, tmp_path, net.quantized(scores, 0.01, np.int16(0)))) == ["MatMul"]


QUERIES, KEYS = 5, 7
CAUSAL = np.tri(QUERIES, KEYS, KEYS - QUERIES, dtype=bool)
PADDED = np.arange(KEYS) < 4


def added(net: Net, scores: str, counts: NDArray[np.bool_], low: float) -> str:
    mask = net.constant(np.where(counts, np.float32(0), np.float32(low)))
    return net.op("Add", mask, scores)


def chosen(net: Net, scores: str, counts: NDArray[np.bool_], low: float) -> str:
    return net.op("Where", net.constant(counts), scores, net.constant(np.float32(low)))


def replaced(net: Net, scores: str, counts: NDArray[np.bool_], low: float) -> str:
    return net.op("Where", net.constant(~counts), net.constant(np.full((1, 1), low, np.float32)), scores)


@pytest.mark.parametrize("mask", [added, chosen, replaced])
@pytest.mark.parametrize("low", [-np.inf, -1e4, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize(
    ("counts", "length", "rows"),
    [(CAUSAL, 3, QUERIES), (CAUSAL[None, None, :, ::-1][..., ::-1], 3, QUERIES), (PADDED, 4, 1), (np.ones((1, 1), bool), KEYS, 1)],
    ids=["causal", "causal for each head", "padded", "nothing"],
)
def test_masks(mask: Callable[..., str], low: float, counts: NDArray[np.bool_], length: int, rows: int, tmp_path: Path) -> None:
    net = Net()
    q, k, v = (net.quantized(net.input(2, 2, n, 8), 0.03, np.int8(-3)) for n in (QUERIES, KEYS, KEYS))
    scores = net.quantized(net.op("MatMul", q, net.op("Transpose", k, perm=[0, 1, 3, 2])), 0.001, np.int16(0))
    masked = mask(net, net.op("Mul", scores, net.constant(np.float32(0.5))), counts, low)
    shares = net.quantized(net.op("Softmax", masked, axis=-1), 1 / 255, np.uint8(0))
    graph = check(net, tmp_path, net.quantized(net.op("MatMul", shares, v), 0.03), steps=2)
    assert names(graph) == ["MatMul", "Softmax", "MatMul"]
    parameters = graph.operators[1].parameters  # pyright: ignore[reportAttributeAccessIssue]
    assert (parameters.length, parameters.rows) == (length, rows)


def test_a_quantized_sum_with_a_mask_is_a_sum(tmp_path: Path) -> None:
    net = Net()
    scores = net.quantized(net.input(2, QUERIES, KEYS), 0.001, np.int16(0))
    total = net.quantized(added(net, scores, CAUSAL, -1e4), 0.001, np.int16(0))
    graph = check(net, tmp_path, net.quantized(net.op("Softmax", total, axis=-1), 1 / 255, np.uint8(0)))
    assert names(graph) == ["Add", "Softmax"]


@pytest.mark.parametrize(("scale", "zero_point", "kind"), [(0.03, np.int8(-5), "Table"), (0.0001, np.int16(20), "Gelu")])
@pytest.mark.parametrize("halves", ["last", "first", "input"])
def test_gelu_spelt_out(halves: str, scale: float, zero_point: ArrayLike, kind: str, tmp_path: Path) -> None:
    net = Net()
    x, half = net.quantized(net.input(4, 16), scale, zero_point), net.constant(np.float32(0.5))
    erf = net.op("Erf", net.op("Mul", x, net.constant(np.float32(0.5**0.5))))
    one = net.op("Add", net.constant(np.float32(1)), erf)
    if halves == "last":
        y = net.op("Mul", net.op("Mul", x, one), half)
    elif halves == "first":
        y = net.op("Mul", half, net.op("Mul", one, x))
    else:
        y = net.op("Mul", net.op("Mul", x, half), one)
    assert names(check(net, tmp_path, net.quantized(y, 0.02, np.int8(-110)))) == [kind]


def scalar(net: Net, value: float) -> str:
    return net.constant(np.float32(value))


def gelu_by_tanh(net: Net, x: str) -> str:
    cube = net.op("Mul", net.op("Pow", x, scalar(net, 3)), scalar(net, 0.044715))
    tanh = net.op("Tanh", net.op("Mul", net.op("Add", x, cube), scalar(net, 0.7978846)))
    return net.op("Mul", net.op("Mul", x, scalar(net, 0.5)), net.op("Add", tanh, scalar(net, 1)))


FUNCTIONS: dict[str, Callable[[Net, str], str]] = {
    "silu": lambda net, x: net.op("Mul", x, net.op("Sigmoid", x)),
    "gelu": lambda net, x: net.op("Gelu", x),
    "gelu by tanh": lambda net, x: net.op("Gelu", x, approximate="tanh"),
    "gelu by tanh, spelt out": gelu_by_tanh,
    "hard swish": lambda net, x: net.op("HardSwish", x),
    "hard swish spelt out": lambda net, x: net.op(
        "Div", net.op("Mul", x, net.op("Clip", net.op("Add", x, scalar(net, 3)), scalar(net, 0), scalar(net, 6))), scalar(net, 6)
    ),
    "mish": lambda net, x: net.op("Mul", x, net.op("Tanh", net.op("Softplus", x))),
    "relu": lambda net, x: net.op("Relu", x),
    "clip from above": lambda net, x: net.op("Clip", x, "", scalar(net, 1.5)),
    "leaky relu": lambda net, x: net.op("LeakyRelu", x, alpha=0.1),
    "prelu": lambda net, x: net.op("PRelu", x, net.constant(np.array([0.2], np.float32))),
    "elu": lambda net, x: net.op("Elu", x),
    "sigmoid": lambda net, x: net.op("Sigmoid", x),
    "exp": lambda net, x: net.op("Exp", x),
    "erf": lambda net, x: net.op("Erf", x),
    "root": lambda net, x: net.op("Sqrt", net.op("Abs", x)),
    "reciprocal": lambda net, x: net.op("Reciprocal", x),
    "logarithm": lambda net, x: net.op("Log", net.op("Mul", x, x)),
    "negative": lambda net, x: net.op("Mul", x, scalar(net, -1.5)),
    "difference": lambda net, x: net.op("Sub", scalar(net, 1), net.op("Max", x, net.op("Neg", x))),
    "quotient": lambda net, x: net.op("Div", x, net.op("Add", net.op("Abs", x), scalar(net, 1))),
    "moved in between": lambda net, x: net.op(
        "Min", net.op("Tanh", net.op("Transpose", x)), net.op("Transpose", net.op("Mul", x, scalar(net, 0.3)))
    ),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_are_exact_tables(function: str, tmp_path: Path) -> None:
    net = Net()
    outputs, kinds = [], (np.int8(-20), np.uint8(90), np.int16(5))
    for zero_point in (np.int8(-5), np.uint8(100)):
        x = net.quantized(net.input(16, 16), 0.04, zero_point)
        y = FUNCTIONS[function](net, x)
        outputs += [net.quantized(y, 0.0005 if kind.dtype == np.int16 else 0.03, kind) for kind in kinds]
    onnx.save(net.model(*outputs), tmp_path / "net.onnx")
    graph = import_model(tmp_path / "net.onnx")
    assert names(graph) == ["Table"] * 6
    steps = np.arange(256).reshape(16, 16)
    arrays = {port.name: ((steps - 128 - port.zero_point) * np.float32(port.scale)).astype(np.float32) for port in graph.inputs}
    expected, values = Reference(tmp_path / "net.onnx", graph).run(arrays)[1], execute(graph, arrays, lanes=LANES)
    for name, tensor in expected.items():
        assert (values[name] == tensor).all(), name


def test_functions_of_functions_are_one_table(tmp_path: Path) -> None:
    """As quantize_static leaves them: with QuantizeLinear after each operator."""
    net = Net()
    whole = net.quantized(net.input(3, 10), 0.04, np.int8(-5))
    x = net.op("Slice", whole, *(net.constant(np.array([v])) for v in (2, 8, 1)))
    sigmoid = net.quantized(net.op("Sigmoid", net.op("Transpose", x)), 1 / 255, np.uint8(0))
    silu = net.quantized(net.op("Mul", x, net.op("Transpose", sigmoid)), 0.0002, np.int16(7))
    total = net.op("Add", net.op("Mul", silu, net.constant(np.float32(2))), x)
    for outputs in ([net.quantized(total, 0.1)], [net.quantized(total, 0.1), sigmoid]):
        graph = check(net, tmp_path, *outputs)
        assert [str(operator.inputs[0]) for operator in graph.operators] == ["input_1[0:3, 2:8]"] * len(outputs)
        assert names(graph) == ["Table"] * len(outputs)


def test_rms_normalization(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(4, 16), 0.0001, np.int16(0))
    y = net.op("RMSNormalization", x, net.normal(16, scale=0.2, mean=1), axis=-1, epsilon=1e-6)
    graph = check(net, tmp_path, net.quantized(y, 0.03, np.int8(3)), opset=23)
    assert names(graph) == ["LayerNorm"]


def test_refused_rms_normalization(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(4, 16), 0.03, np.int8(-5))
    onnx.save(net.model(net.quantized(net.op("RMSNormalization", x, net.normal(16), axis=-1), 0.03), opset=23), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"RMSNormalization.*its input must be quantized symmetrically, not with the zero point -5$"):
        import_model(tmp_path / "net.onnx")


def test_contrib_domain_and_16_bits(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(4, 16), 1e-4, np.uint16(32000), "com.microsoft")
    y = net.quantized(net.input(4, 16), 1e-4, np.int16(-50), "com.microsoft")
    total = net.quantized(net.op("Add", x, y), 2e-4, np.int16(11), "com.microsoft")
    rows = net.op("Softmax", total, axis=1)
    result = net.quantized(rows, 1 / 65536, np.uint16(0), "com.microsoft")
    graph = check(net, tmp_path, result, opset=17, shape=(4, 16), steps=4)
    assert names(graph) == ["Add", "Softmax"]


def test_rescale_and_relu(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(3, 7), 0.01, np.int16(20))
    wide = net.op("Relu", net.quantized(x, 0.04, np.int8(-3)))
    result = net.op("Mul", net.quantized(wide, 0.03, np.uint8(0)), net.constant(np.float32(3)))
    assert names(check(net, tmp_path, net.quantized(result, 0.05, np.uint8(2)), steps=3)) == ["Rescale", "Table", "Rescale"]


def test_same_quantization_twice_is_one_operator(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.quantized(net.input(3, 7)))
    product = net.op("MatMul", x, net.weights(7, 3))
    graph = check(net, tmp_path, net.quantized(product), net.quantized(product), net.quantized(product, 0.06))
    assert names(graph) == ["MatMul", "MatMul"]


def test_added_constants(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(1, 4, 6), 0.02)
    row = net.quantized(net.op("Add", x, net.normal(6)), 0.03)
    rows = net.quantized(net.op("Add", net.normal(1, 4, 6), row), 0.03)
    graph = check(net, tmp_path, net.quantized(net.op("Relu", net.op("Add", rows, net.constant(np.float32(0.3)))), 0.03), steps=3)
    assert names(graph) == ["Add", "Add", "Table"]
    assert [operator.inputs[-1].rows for operator in graph.operators] == [1, 4, 4]


@pytest.mark.parametrize("b", [np.uint8(200), np.int16(-300)], ids=str)
@pytest.mark.parametrize("out", [np.int8(3), np.uint16(30000)], ids=str)
def test_products_of_two_tensors(tmp_path: Path, b: np.integer, out: np.integer) -> None:
    net = Net()
    steps = {1: 0.03, 2: 1e-4}  # scales by bytes
    x, y = net.quantized(net.input(2, 3, 8), 0.03, np.int8(-7)), net.quantized(net.input(2, 3, 8), steps[b.itemsize], b)
    moved = net.op("Transpose", net.quantized(net.op("Mul", x, y), 2 * steps[out.itemsize], out), perm=[1, 0, 2])
    assert names(check(net, tmp_path, moved)) == ["Multiply"]


def test_products_with_a_row(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(1, 6, 4, 5))
    kernel = net.op("Reshape", net.weights(6, 8), net.constant(np.array([8, 6, 1, 1])))
    x = net.quantized(net.op("Conv", x, kernel, kernel_shape=[1, 1]), 0.04)
    squeezed = net.quantized(net.op("GlobalAveragePool", x), 0.01)
    gate = net.quantized(net.op("Sigmoid", squeezed), 1 / 256, np.uint8(0))
    excited = net.quantized(net.op("Mul", gate, x), 0.02)
    scaled = net.quantized(net.op("Mul", excited, net.normal(8, 1, 1)), 0.02)
    graph = check(net, tmp_path, scaled, steps=3)
    assert names(graph) == ["MatMul", "MatMul", "Table", "Multiply", "Multiply"]
    assert [operator.inputs[1].rows for operator in graph.operators[-2:]] == [1, 1]


def test_slices_are_blocks(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(1, 5, 8))
    first = net.op("Gather", x, net.constant(np.array(0)), axis=1)
    starts, stops, axes = (net.constant(np.array(v)) for v in ([1, -6], [3, 1000], [1, 2]))
    part = net.op("Squeeze", net.op("Slice", x, starts, stops, axes), net.constant(np.array([0])))
    a = net.quantized(net.op("Gemm", first, net.weights(8, 3)))
    b = net.quantized(net.op("MatMul", part, net.weights(6, 3)))
    graph = check(net, tmp_path, a, b)
    assert [str(operator.inputs[0]) for operator in graph.operators] == ["input_1[0:1, 0:8]", "input_1[1:3, 2:8]"]


def test_integers_in_and_out(tmp_path: Path) -> None:
    net = Net()
    scale, zero = net.constant(np.float32(0.02)), net.constant(np.uint8(90))
    x = net.op("DequantizeLinear", net.input(2, 6, kind=onnx.TensorProto.UINT8), scale, zero)
    y = net.op("QuantizeLinear", net.op("MatMul", x, net.weights(6, 4)), scale, zero)
    graph = check(net, tmp_path, y, shape=(2, 4), kind=onnx.TensorProto.UINT8)
    assert [port.dtype for port in (*graph.inputs, *graph.outputs)] == [np.uint8, np.uint8]


def test_mean_over_tokens_of_a_batch(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(3, 4, 6), 0.02, np.int8(4))
    mean = net.op("ReduceMean", x, axes=[1], keepdims=1)
    graph = check(net, tmp_path, net.quantized(mean, 0.01), opset=13)
    assert [len(operator.outputs) for operator in graph.operators] == [3]
