"""What can't be imported is refused with one line that names file, place and reason."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from celosia.sw.frontend import ModelError, import_model
from numpy.typing import ArrayLike
from onnx import helper
from onnx_models import Net, attention

DIGITS = Path(__file__).parents[1] / "examples" / "digits" / "digits_qdq.onnx"


def refusal(path: Path) -> str:
    """The message after the file's name."""
    with pytest.raises(ModelError) as caught:
        import_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def refused(model: onnx.ModelProto, tmp_path: Path) -> str:
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    return refusal(tmp_path / "net.onnx")


def test_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.onnx") == "cannot be read: No such file or directory"
    assert refusal(tmp_path) == "cannot be read: Is a directory"


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 1000, b"PK\x03\x04" * 50])
def test_not_onnx(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "junk.onnx").write_bytes(content)
    assert refusal(tmp_path / "junk.onnx").startswith("not a")


def test_truncated_anywhere(tmp_path: Path) -> None:
    data = DIGITS.read_bytes()
    for length in range(1, len(data), 4999):
        (tmp_path / "short.onnx").write_bytes(data[:length])
        refusal(tmp_path / "short.onnx")


def test_float_network(tmp_path: Path) -> None:
    assert refused(attention(), tmp_path).startswith("no QuantizeLinear node: quantize the float network first")


@pytest.mark.parametrize("size", ["batch", -1, 0])
def test_dynamic_shape(size: str | int, tmp_path: Path) -> None:
    net = Net()
    message = refused(net.model(net.quantized(net.input(size, 8))), tmp_path)
    assert message == f"input_1 has the dynamic shape [{size}, 8]: export it with fixed sizes"


def test_huge_shape(tmp_path: Path) -> None:
    net = Net()
    message = refused(net.model(net.quantized(net.input(10**6, 10**6))), tmp_path)
    assert message == "input_1 has the shape [1000000, 1000000], more than 16777216 elements"


def test_huge_product(tmp_path: Path) -> None:
    net = Net()
    a, b = net.quantized(net.input(10**5, 1)), net.quantized(net.input(1, 10**5))
    message = refused(net.model(net.quantized(net.op("MatMul", a, b))), tmp_path)
    assert message.endswith("its result [100000, 100000] has more than 16777216 elements")


def test_cycle(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(2, 2))
    y = net.op("Add", x, "later")
    net.nodes.append(helper.make_node("Relu", [y], ["later"], name="back"))
    model = net.model(net.quantized("later"), shape=(2, 2))
    assert refused(model, tmp_path).startswith("not a valid ONNX model: Nodes in a graph must be topologically sorted")


def test_float8_weights(tmp_path: Path) -> None:
    net = Net()
    net.constants.append(helper.make_tensor("weights", onnx.TensorProto.FLOAT8E4M3FN, (8, 4), np.zeros(32)))
    weights = net.op("DequantizeLinear", "weights", net.constant(np.float32(0.1)))
    product = net.op("MatMul", net.quantized(net.input(2, 8)), weights)
    assert refused(net.model(net.quantized(product)), tmp_path) == "tensor weights has the unsupported type FLOAT8E4M3FN"


def test_int4_activations(tmp_path: Path) -> None:
    net = Net()
    q = net.op("QuantizeLinear", net.input(2, 8), net.constant(np.float32(1)), output_dtype=onnx.TensorProto.UINT4)
    message = refused(net.model(net.op("DequantizeLinear", q, net.constants[0].name)), tmp_path)
    assert "its type UINT4 is not supported" in message


@pytest.mark.parametrize("scale", [0.0, -0.5, np.nan, np.inf])
def test_scale(scale: float, tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(2, 8))
    product = net.op("MatMul", x, net.weights(8, 3, [0.1, scale, 0.1]))
    message = refused(net.model(net.quantized(product)), tmp_path)
    assert "(DequantizeLinear) of [8, 3], [3], [3]: its scale constant_" in message
    assert message.endswith(f"must be positive and finite, not {scale}")
    message = refused((net := Net()).model(net.quantized(net.input(2, 8), scale)), tmp_path)
    assert "(QuantizeLinear) of [2, 8], [], []: its scale" in message
    assert message.endswith(f"must be positive and finite, not {scale}")


def test_external_data(tmp_path: Path) -> None:
    net = Net()
    model = net.model(net.quantized(net.op("MatMul", net.quantized(net.input(2, 8)), net.weights(8, 3))))
    for location in ("weights.bin", "/etc/passwd", "../outside"):
        tensor = model.graph.initializer[2]
        tensor.raw_data = b"0123"
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        message = refused(model, tmp_path)
        assert message == f"tensor {tensor.name} lies in another file: save the model as one file"


def unsupported(net: Net) -> str:
    return net.op("Hardmax", net.quantized(net.input(2, 8)))


def unquantized_operand(net: Net) -> str:
    return net.op("Softmax", net.op("Softmax", net.quantized(net.input(2, 8)), axis=-1), axis=-1)


def unquantized_input(net: Net) -> str:
    return net.op("Add", net.quantized(net.input(2, 8)), net.input(2, 8))


def float_weights(net: Net) -> str:
    return net.op("MatMul", net.quantized(net.input(2, 8)), net.normal(8, 3))


def wide_operand(net: Net) -> str:
    return net.op("MatMul", net.quantized(net.input(2, 8), 0.01, np.int16(0)), net.weights(8, 3))


def softmax_over_rows(net: Net) -> str:
    return net.op("Softmax", net.quantized(net.input(2, 8)), axis=0)


def masked(net: Net, counts: ArrayLike) -> str:
    scores = net.quantized(net.input(1, 3, 4), 0.1)
    return net.op("Softmax", net.op("Where", net.constant(np.asarray(counts, bool)), scores, net.constant(np.float32(-1e9))), axis=-1)


def masked_from_the_left(net: Net) -> str:
    return masked(net, [0, 1, 1, 1])


def masked_without_a_pattern(net: Net) -> str:
    return masked(net, [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])


def masked_row(net: Net) -> str:
    return masked(net, np.tri(3, 4, -1))


def weak_mask(net: Net) -> str:
    mask = net.constant(np.array([0, 0, 0, -50], np.float32))
    return net.op("Softmax", net.op("Add", net.quantized(net.input(3, 4), 0.1), mask), axis=-1)


def weak_choice(net: Net) -> str:
    condition, other = net.constant(np.array([1, 1, 1, 0], bool)), net.constant(np.float32(-50))
    return net.op("Softmax", net.op("Where", condition, net.quantized(net.input(3, 4), 0.1), other), axis=-1)


def masked_product(net: Net) -> str:
    scores = net.op("MatMul", net.quantized(net.input(3, 8)), net.weights(8, 4))
    return net.op("Softmax", net.op("Add", scores, net.constant(np.zeros(4, np.float32))), axis=-1)


def choice_alone(net: Net) -> str:
    condition, other = net.constant(np.array([1, 1, 1, 0], bool)), net.constant(np.float32(-np.inf))
    return net.op("Where", condition, net.quantized(net.input(3, 4), 0.1), other)


def choice_of_tensors(net: Net) -> str:
    a, b = (net.quantized(net.input(3, 4), 0.1) for _ in range(2))
    return net.op("Softmax", net.op("Where", net.constant(np.ones(4, bool)), a, b), axis=-1)


def computed_mask(net: Net) -> str:
    condition = net.input(4, kind=onnx.TensorProto.BOOL)
    other = net.constant(np.float32(-np.inf))
    return net.op("Softmax", net.op("Where", condition, net.quantized(net.input(3, 4), 0.1), other), axis=-1)


def masked_over_rows(net: Net) -> str:
    scores = net.op("Add", net.quantized(net.input(4, 4), 0.1), net.constant(np.zeros(4, np.float32)))
    return net.op("Softmax", scores, axis=0)


def gelu_by_tanh(net: Net) -> str:
    return net.op("Gelu", net.quantized(net.input(2, 8), 0.01, np.int16(0)), approximate="tanh")


def product_of_tensors(net: Net) -> str:
    x = net.quantized(net.input(2, 8))
    return net.op("Mul", x, net.op("Sigmoid", net.quantized(net.input(2, 8))))


def product_in_two_orders(net: Net) -> str:
    return net.op("Mul", net.quantized(net.input(4, 4)), net.op("Transpose", net.quantized(net.input(4, 4))))


def product_with_a_column(net: Net) -> str:
    return net.op("Mul", net.quantized(net.input(4, 8)), net.quantized(net.input(4, 1)))


def product_of_large_scales(net: Net) -> str:
    return net.op("Mul", *(net.quantized(net.input(2, 8), 100.0) for _ in range(2)))


def negative_factor(net: Net) -> str:
    return net.op("Mul", net.quantized(net.input(2, 8), 0.01, np.int16(0)), net.constant(np.float32(-2)))


def wide_function(net: Net) -> str:
    return net.op("Sigmoid", net.quantized(net.input(2, 8), 0.01, np.int16(0)))


def wide_erf(net: Net) -> str:
    return net.op("Erf", net.quantized(net.input(2, 8), 0.01, np.int16(0)))


def function_of_a_product(net: Net) -> str:
    return net.op("Sigmoid", net.op("MatMul", net.quantized(net.input(2, 8)), net.weights(8, 3)))


def function_of_two_tensors(net: Net) -> str:
    return net.op("Max", *(net.quantized(net.input(2, 8)) for _ in range(2)))


def function_of_two_orders(net: Net) -> str:
    x = net.quantized(net.input(4, 4))
    return net.op("Sub", x, net.op("Transpose", x))


def function_of_a_vector(net: Net) -> str:
    return net.op("Pow", net.quantized(net.input(2, 8)), net.normal(8))


def square_root_below_zero(net: Net) -> str:
    return net.op("Sqrt", net.quantized(net.input(2, 8)))


def product_of_a_function(net: Net) -> str:
    return net.op("MatMul", net.op("Sigmoid", net.quantized(net.input(2, 8))), net.weights(8, 3))


def strided_rows(net: Net) -> str:
    x = net.quantized(net.input(6, 8))
    part = net.op("Slice", x, *(net.constant(np.array([v])) for v in (0, 6, 0, 2)))
    return net.op("MatMul", part, net.weights(8, 3))


def missing_group(net: Net) -> str:
    weights = net.op("Reshape", net.weights(9, 4), net.constant(np.array([4, 1, 3, 3])))
    return net.op("Conv", net.quantized(net.input(1, 3, 8, 8)), weights, group=2)


def kernel_beyond_the_map(net: Net) -> str:
    weights = net.op("Reshape", net.weights(9, 4), net.constant(np.array([4, 1, 3, 3])))
    return net.op("Conv", net.quantized(net.input(1, 1, 8, 2)), weights)


def bias_per_row(net: Net) -> str:
    product = net.op("MatMul", net.quantized(net.input(2, 8)), net.weights(8, 3))
    return net.op("Add", product, net.normal(2, 1))


def scales_per_row(net: Net) -> str:
    data, scales, zeros = (net.constant(v) for v in (np.ones((8, 3), np.int8), np.arange(1, 9, dtype=np.float32), np.zeros(8, np.int8)))
    return net.op("MatMul", net.quantized(net.input(2, 8)), net.op("DequantizeLinear", data, scales, zeros, axis=0))


def _of_groups(net: Net, k: int, group: int, scales: ArrayLike, zero_point: ArrayLike = 0, kind: str = "int4") -> str:
    """A product with weights [k, 4] of ``scales`` [groups, 4]."""
    weights = net.weights(k, 4, scales, kind, zero_point, axis=0, block_size=group)
    return net.op("MatMul", net.quantized(net.input(2, k)), weights)


def small_groups(net: Net) -> str:
    return _of_groups(net, 32, 8, net.random.uniform(0.01, 0.1, (4, 4)))


def uneven_groups(net: Net) -> str:
    return _of_groups(net, 40, 16, net.random.uniform(0.01, 0.1, (3, 4)))


def missing_scales(net: Net) -> str:
    return _of_groups(net, 64, 16, net.random.uniform(0.01, 0.1, (3, 4)))


def groups_along_n(net: Net) -> str:
    weights = net.weights(32, 32, net.random.uniform(0.01, 0.1, (32, 2)), "int4", axis=1, block_size=16)
    return net.op("MatMul", net.quantized(net.input(2, 32)), weights)


def zero_points_of_groups(net: Net) -> str:
    return _of_groups(net, 32, 16, net.random.uniform(0.01, 0.1, (2, 4)), [[3], [5]], "uint4")


def groups_of_windows(net: Net) -> str:
    weights = net.weights(192, 4, net.random.uniform(0.01, 0.1, (2, 4)), "int4", axis=0, block_size=96)
    kernel = net.op("Reshape", net.op("Transpose", weights), net.constant(np.array([4, 32, 3, 2])))
    return net.op("Conv", net.quantized(net.input(1, 32, 8, 8)), kernel, kernel_shape=[3, 2])


def wide_accumulator_of_groups(net: Net) -> str:
    return _of_groups(net, 2048, 128, net.random.uniform(0.01, 0.1, (16, 4)), kind="int8")


def activation_in_blocks(net: Net) -> str:
    x, scale, zero = net.input(2, 32), net.constant(np.full((2, 2), 0.1, np.float32)), net.constant(np.zeros((2, 2), np.int8))
    q = net.op("QuantizeLinear", x, scale, zero, axis=1, block_size=16)
    return net.op("DequantizeLinear", q, scale, zero, axis=1, block_size=16)


def transposed_sum(net: Net) -> str:
    x = net.quantized(net.input(4, 4))
    return net.op("Add", x, net.op("Transpose", x))


def dynamic_reshape(net: Net) -> str:
    return net.op("Reshape", net.quantized(net.input(2, 8)), net.input(2, kind=onnx.TensorProto.INT64))


def reshape_by_matrix(net: Net) -> str:
    return net.op("Reshape", net.quantized(net.input(2, 8)), net.constant(np.array([[4, 4]])))


def large_scale_ratio(net: Net) -> str:
    return net.op("MatMul", net.quantized(net.input(2, 8), 1e6), net.weights(8, 3))


def wide_accumulator(net: Net) -> str:
    bias = net.constant(np.array([2**31 - 1024, 0, 0], np.float32))
    return net.op("Add", net.op("MatMul", net.quantized(net.input(2, 8), 1.0), net.weights(8, 3, 1.0)), bias)


REASONS: dict[Callable[[Net], str], str] = {
    unsupported: "(Hardmax) of [2, 8]: the operator is not supported",
    unquantized_operand: "(Softmax) of [2, 8]: its input softmax_8 is not quantized: it needs QuantizeLinear and DequantizeLinear",
    unquantized_input: "(Add) of [2, 8], [2, 8]: its input input_8 is not quantized: it needs QuantizeLinear and DequantizeLinear",
    float_weights: "(MatMul) of [2, 8], [8, 3]: its operand constant_8 is not quantized",
    wide_operand: "(MatMul) of [2, 8], [8, 3]: its operand input_1[2x8 int16] must be int8 or uint8",
    softmax_over_rows: "(Softmax) of [2, 8]: its axis must be the last one, not 0",
    masked_from_the_left: "(Where) of [4], [1, 3, 4], []: its mask must leave the first elements of each row: as many in each row, or one",
    masked_without_a_pattern: "(Where) of [3, 4], [1, 3, 4], []: its mask must leave the first elements of each row",
    masked_row: "(Where) of [3, 4], [1, 3, 4], []: its mask leaves nothing of row 0",
    weak_mask: "(Add) of [3, 4], [4]: what is added right before Softmax must be 0, or at most -65.6 to leave an element out",
    weak_choice: "(Where) of [4], [3, 4], []: what takes a score's place right before Softmax must be at most -65.6 to leave it out",
    masked_product: "(Add) of [3, 4], [4]: its input matmul_13 is not quantized: it needs QuantizeLinear and DequantizeLinear",
    choice_alone: "(Where) of [4], [3, 4], []: a mask is supported right before Softmax only, without QuantizeLinear in between",
    choice_of_tensors: "must be a constant",
    computed_mask: "(Where) of [4], [3, 4], []: its input input_1 must be a constant",
    masked_over_rows: "(Softmax) of [4, 4]: its axis must be the last one, not 0",
    gelu_by_tanh: "(Gelu) of [2, 8]: only the exact GELU (approximate = none) is supported on int16 tensors",
    product_of_tensors: "(Mul) of [2, 8], [2, 8]: its input sigmoid_15 is not quantized: it needs QuantizeLinear and DequantizeLinear",
    product_in_two_orders: "(Mul) of [4, 4], [4, 4]: its operands input_1[4x4 int8] and input_8[4x4 int8] are not stored in the same order",
    product_with_a_column: "(Mul) of [4, 8], [4, 1]: its operands input_1[4x8 int8] and input_8[4x1 int8] are not stored in the same order",
    product_of_large_scales: "(Mul) of [2, 8], [2, 8]: its scales don't fit the machine: real must be below 2**16, not ",
    negative_factor: "(Mul) of [2, 8], []: its factor must be positive and finite, not -2.0",
    wide_function: "(Sigmoid) of [2, 8]: it is supported on int8 and uint8 tensors only, not on input_1[2x8 int16]",
    wide_erf: "(Erf) of [2, 8]: Erf is supported on int16 tensors as a part of GELU only, without QuantizeLinear in between",
    function_of_a_product: "(Sigmoid) of [2, 3]: its input matmul_13 is not quantized: it needs QuantizeLinear and DequantizeLinear",
    function_of_two_tensors: "(Max) of [2, 8], [2, 8]: its operands must be functions of one tensor",
    function_of_two_orders: "(Sub) of [4, 4], [4, 4]: its operands must be functions of one tensor",
    function_of_a_vector: "(Pow) of [2, 8], [8]: its operand constant_8 [8] must be a scalar",
    square_root_below_zero: "(Sqrt) of [2, 8]: its result for -6.4, which input_1[2x8 int8] can hold, is not a number",
    product_of_a_function: "(MatMul) of [2, 8], [8, 3]: its input sigmoid_8 is not quantized: it needs QuantizeLinear and",
    strided_rows: "(MatMul) of [3, 8], [8, 3]: its first operand [3, 8] is not made of rows of the stored tensor",
    missing_group: "(Conv) of [1, 3, 8, 8], [4, 1, 3, 3]: its operands' shapes [1, 3, 8, 8] and [4, 1, 3, 3] don't fit",
    kernel_beyond_the_map: "(Conv) of [1, 1, 8, 2], [4, 1, 3, 3]: kernel must be no larger than the padded feature map, not (3, 3)",
    bias_per_row: "what is added to a product before QuantizeLinear must have one value per output channel",
    scales_per_row: "the weights constant_1 must have one scale, one per output channel, or one per group of k: "
    "groups of 16 or more that divide 8, not of 1",
    small_groups: "or one per group of k: groups of 16 or more that divide 32, not of 8",
    uneven_groups: "or one per group of k: groups of 16 or more that divide 40, not of 8",
    missing_scales: "(DequantizeLinear) of [64, 4], [3, 4], [3, 4]: its [3, 4] scales don't fit blocks of 16 along axis 0 of [64, 4]",
    groups_along_n: "or one per group of k: groups of 16 or more that divide 32, not of 1",
    zero_points_of_groups: "zero point of constant_1 must be one for the whole tensor, not -5 to -3",
    groups_of_windows: "the weights constant_1 of overlapping windows must have one scale, or one per output channel",
    wide_accumulator_of_groups: "(MatMul) of [2, 2048], [2048, 4]: its accumulator can reach ",
    activation_in_blocks: "activations must have one scale, not one per channel or block",
    transposed_sum: "(Add) of [4, 4], [4, 4]: its operands input_1[4x4 int8] and input_1[4x4 int8] are not stored in the same order",
    dynamic_reshape: "must be a constant list of integers",
    reshape_by_matrix: "must be a constant list of integers",
    large_scale_ratio: "(MatMul) of [2, 8], [8, 3]: its scales don't fit the machine: real must be below 2**16",
    wide_accumulator: "(MatMul) of [2, 8], [8, 3]: its accumulator can reach 21",
}


@pytest.mark.parametrize("build", REASONS, ids=lambda build: build.__name__)
def test_reason(build: Callable[[Net], str], tmp_path: Path) -> None:
    net = Net()
    message = refused(net.model(net.quantized(build(net), 0.01)), tmp_path)
    assert message.startswith("node node_")
    assert REASONS[build] in message


def test_unquantized_output(tmp_path: Path) -> None:
    net = Net()
    product = net.op("MatMul", net.quantized(net.input(2, 8)), net.weights(8, 3))
    message = refused(net.model(product), tmp_path)
    assert message == f"output {product} is not quantized: it needs a QuantizeLinear after its operator"
