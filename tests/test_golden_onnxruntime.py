"""The golden models of products, convolutions and max pooling against ONNX Runtime's integer operators, on any shapes.

These get unsigned operands: where one is int8, ONNX Runtime may saturate sums of two products to 16 bits, on processors without VNNI.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.formats import INT8
from celosia.rtl.arch.window import Window
from celosia.sw.golden.convolution import convolution, convolution_sums, max_pool
from celosia.sw.golden.matmul import MatMulParameters, accumulate, matmul
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx_models import IR_VERSION

some = settings(deadline=None, max_examples=60)
zero_points = st.tuples(st.integers(-128, 127), st.integers(-128, 127), st.integers(-128, 127))
scales = st.tuples(*[st.floats(1e-3, 0.1)] * 3)


def onnx_operator(kind: str, *inputs: NDArray, **attributes: Any) -> NDArray:
    """What ONNX Runtime computes with one operator."""
    names = [f"input_{i}" for i in range(len(inputs))]
    node = helper.make_node(kind, names, ["output"], **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in zip(names, inputs, strict=True)
    ]
    output = onnx.ValueInfoProto(name="output")
    constants = [numpy_helper.from_array(x, name) for name, x in list(zip(names, inputs, strict=True))[1:]]
    graph = helper.make_graph([node], "one", infos[:1], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {names[0]: inputs[0]})
    return np.asarray(result)


def octets(random: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    return random.integers(-128, 128, shape).astype(np.int8)


def unsigned(values: Any) -> NDArray[np.uint8]:
    """The same numbers as unsigned ones."""
    return (np.asarray(values, np.int64) + 128).astype(np.uint8)


def requantization(channels: int, scale: tuple[float, ...], zero_point: tuple[int, ...], bias: NDArray) -> MatMulParameters:
    """bias: in steps of the accumulator."""
    a, b, out = scale
    return MatMulParameters.from_scales(
        **{"a_scale": a, "a_zero_point": zero_point[0], "b_scale": b, "b_zero_point": zero_point[1], "bias": bias * a * b},
        **{"out_scale": out, "out_zero_point": zero_point[2], "out": INT8, "channels": channels},  # pyright: ignore[reportArgumentType]
    )


@st.composite
def windows(draw: st.DrawFn) -> Window:
    two = lambda most: st.tuples(st.integers(1, most), st.integers(1, most))  # noqa: E731
    while True:
        kernel = draw(two(5))
        above, left, below, right = (draw(st.integers(0, kernel[axis] - 1)) for axis in (0, 1, 0, 1))
        values: dict[str, Any] = {name: draw(two(3)) for name in ("strides", "dilations")}
        with suppress(ParameterError):
            height, width = draw(two(9))
            return Window(height=height, width=width, kernel=kernel, pads=(above, left, below, right), **values)


def attributes(window: Window) -> dict[str, Any]:
    names = "kernel", "strides", "dilations", "pads"
    return {name.replace("kernel", "kernel_shape"): list(getattr(window, name)) for name in names}


def rows(feature_map: NDArray) -> NDArray:
    """[1, C, H, W] to a row for each pixel."""
    return feature_map[0].reshape(feature_map.shape[1], -1).T


@some
@given(st.tuples(*[st.integers(1, 40)] * 3), zero_points, st.integers(0, 1 << 16))
def test_matmul_integer(shape: tuple[int, int, int], zero_point: tuple[int, ...], seed: int) -> None:
    random, (m, k, n) = np.random.default_rng(seed), shape
    a, b = octets(random, m, k), octets(random, k, n)
    expected = onnx_operator("MatMulInteger", *map(unsigned, (a, b, *zero_point[:2])))
    assert (accumulate(a, b, zero_point[0], zero_point[1]) == expected).all()


@some
@given(st.tuples(*[st.integers(1, 40)] * 3), scales, zero_points, st.integers(0, 1 << 16))
def test_qlinear_matmul(shape: tuple[int, int, int], scale: tuple[float, ...], zero_point: tuple[int, ...], seed: int) -> None:
    random, (m, k, n) = np.random.default_rng(seed), shape
    a, b = octets(random, m, k), octets(random, k, n)
    (a_scale, b_scale, out_scale), zeros = (np.array(s, np.float32) for s in scale), [unsigned(z) for z in zero_point]
    inputs = unsigned(a), a_scale, zeros[0], unsigned(b), b_scale, zeros[1], out_scale, zeros[2]
    expected = onnx_operator("QLinearMatMul", *inputs).astype(int) - 128
    found = matmul(a, b, requantization(n, scale, zero_point, np.zeros(n)))
    assert np.abs(found - expected).max() <= 1


@some
@given(windows(), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), zero_points, st.integers(0, 1 << 16))
def test_conv_integer(window: Window, groups: int, depth: int, per_group: int, zero_point: tuple[int, ...], seed: int) -> None:
    random = np.random.default_rng(seed)
    window = replace(window, groups=groups)
    x, w = octets(random, 1, groups * depth, window.height, window.width), octets(random, groups * per_group, depth, *window.kernel)
    expected = onnx_operator("ConvInteger", *map(unsigned, (x, w, *zero_point[:2])), group=groups, **attributes(window))
    found = convolution_sums(rows(x), w.transpose(0, 2, 3, 1).reshape(len(w), -1), window, *zero_point[:2])
    assert (found == rows(expected)).all()


@some
@given(windows(), st.integers(1, 4), st.integers(1, 5), scales, zero_points, st.integers(0, 1 << 16))
def test_qlinear_conv(window: Window, groups: int, depth: int, scale: tuple[float, ...], zero_point: tuple[int, ...], seed: int) -> None:
    random = np.random.default_rng(seed)
    window = replace(window, groups=groups)
    x, w = octets(random, 1, groups * depth, window.height, window.width), octets(random, 2 * groups, depth, *window.kernel)
    bias = random.integers(-5000, 5000, len(w)).astype(np.int32)
    (x_scale, w_scale, out_scale), zeros = (np.array(s, np.float32) for s in scale), [unsigned(z) for z in zero_point]
    inputs = unsigned(x), x_scale, zeros[0], unsigned(w), w_scale, zeros[1], out_scale, zeros[2], bias
    expected = onnx_operator("QLinearConv", *inputs, group=groups, **attributes(window)).astype(int) - 128
    found = convolution(rows(x), w.transpose(0, 2, 3, 1).reshape(len(w), -1), window, requantization(len(w), scale, zero_point, bias))
    assert np.abs(found - rows(expected)).max() <= 1


@some
@given(windows(), st.integers(1, 6), st.integers(-128, 127), st.integers(0, 1 << 16))
def test_max_pool(window: Window, channels: int, zero_point: int, seed: int) -> None:
    x = octets(np.random.default_rng(seed), 1, channels, window.height, window.width)
    expected = rows(onnx_operator("MaxPool", x, **attributes(window)))
    window = replace(window, groups=channels)
    found = max_pool(rows(x), window, requantization(channels, (1.0, 1.0, 1.0), (zero_point, 0, zero_point), np.zeros(channels)))
    inside = expected > -128  # ONNX Runtime gives -128, too, where a dilated window meets no pixel
    assert (found[inside] == expected[inside]).all()
    assert (found[~inside] == -128).all()
