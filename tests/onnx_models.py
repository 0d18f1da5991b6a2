"""Small ONNX networks for the importer's tests, and ONNX Runtime's quantization of them."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from celosia.rtl.arch.formats import Format
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

IR_VERSION = 10
ZERO = np.int8(0)


class Net:
    """Builds an ONNX graph: each method gives the name of the value that it adds."""

    def __init__(self, seed: int = 1):
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.count = 0

    def _name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def input(self, *shape: int | str, kind: int = onnx.TensorProto.FLOAT) -> str:
        name = self._name("input")
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, array: ArrayLike, name: str = "") -> str:
        name = name or self._name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> str:
        return self.constant((self.random.normal(size=shape) * scale + mean).astype(np.float32))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """The output's name, or a tuple of names."""
        names = [self._name(kind.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=self._name(f"node_{kind}"), **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def shape(self, x: str, *shape: int) -> str:
        return self.op("Reshape", x, self.constant(np.array(shape, np.int64)))

    def linear(self, x: str, k: int, n: int) -> str:
        product = self.op("MatMul", x, self.normal(k, n, scale=k**-0.5))
        return self.op("Add", product, self.normal(n, scale=0.2))

    def quantized(self, x: str, scale: float = 0.05, zero_point: ArrayLike = ZERO, domain: str = "") -> str:
        """x through QuantizeLinear and DequantizeLinear."""
        parameters = self.constant(np.float32(scale)), self.constant(zero_point)
        q = self.op("QuantizeLinear", x, *parameters, domain=domain)
        return self.op("DequantizeLinear", q, *parameters, domain=domain)

    def weights(self, k: int, n: int, scale: ArrayLike = 0.01, kind: str = "int8", zero_point: ArrayLike = 0, **attributes: int) -> str:
        """Random integer weights [k, n] and their DequantizeLinear; a vector of scales is one for each column, unless ``attributes`` say
        otherwise."""
        limits, scales = Format.of(kind), np.asarray(scale, np.float32)
        dtype = helper.tensor_dtype_to_np_dtype(onnx.TensorProto.DataType.Value(kind.upper()))
        data = self.constant(self.random.integers(limits.min, limits.max + 1, (k, n)).astype(dtype))
        zero = np.full(scales.shape, zero_point).astype(dtype)
        return self.op("DequantizeLinear", data, self.constant(scales), self.constant(zero), **{"axis": 1, **attributes})

    def model(
        self, *outputs: str, opset: int = 21, shape: tuple[int, ...] | None = None, kind: int = onnx.TensorProto.FLOAT
    ) -> onnx.ModelProto:
        """shape: of the outputs, where ONNX can't infer it. kind: their element type."""
        infos = [helper.make_tensor_value_info(name, kind, shape) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION)
        return onnx.shape_inference.infer_shapes(model)


def mlp() -> onnx.ModelProto:
    """[4, 12] -> 20, ReLU -> 7."""
    net = Net()
    hidden = net.op("Relu", net.linear(net.input(4, 12), 12, 20))
    return net.model(net.linear(hidden, 20, 7))


def gated(rows: int = 32, width: int = 64, hidden: int = 128) -> onnx.ModelProto:
    """SwiGLU on [rows, width]: down(gate * sigmoid(gate) * up)."""
    net = Net()
    x = net.input(rows, width)
    gate, up = (net.linear(x, width, hidden) for _ in range(2))
    silu = net.op("Mul", gate, net.op("Sigmoid", gate))
    return net.model(net.linear(net.op("Mul", silu, up), hidden, width))


def decoder(layers: int = 2, *, heads: int = 3, width: int = 8, tokens: int = 12) -> onnx.ModelProto:
    """Steps of attention on queries [heads, 1, width], keys and values [heads, tokens, width], each with a product of its results."""
    net, outputs = Net(), []
    for _ in range(layers):
        q, k, v = (net.quantized(net.input(heads, rows, width)) for rows in (1, tokens, tokens))
        scores = net.quantized(net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 1])), 0.001, np.int16(0))
        shares = net.quantized(net.op("Softmax", scores, axis=-1), 1 / 255, np.uint8(0))
        mixed = net.quantized(net.op("MatMul", shares, v))
        beside = net.shape(net.op("Transpose", mixed, perm=[1, 0, 2]), 1, heads * width)
        outputs.append(net.quantized(net.op("MatMul", beside, net.weights(heads * width, 5)), 0.1))
    return net.model(*outputs)


def attention(*, fused: bool = False) -> onnx.ModelProto:
    """An encoder block on [1, 6, 16] with 2 heads of 8, then the mean and a classifier.

    fused: query, key and value from one product, by Split.
    """
    net, tokens, width, heads = Net(), 6, 16, 2
    x = net.input(1, tokens, width)

    def norm(x: str) -> str:
        return net.op("LayerNormalization", x, net.normal(width, scale=0.2, mean=1), net.normal(width, scale=0.2), axis=-1)

    def split(x: str) -> str:
        return net.op("Transpose", net.shape(x, 1, tokens, heads, width // heads), perm=[0, 2, 1, 3])

    y = norm(x)
    if fused:
        q, k, v = net.op("Split", net.linear(y, width, 3 * width), axis=-1, num_outputs=3, outputs=3)
    else:
        q, k, v = (net.linear(y, width, width) for _ in range(3))
    scores = net.op("MatMul", split(q), net.op("Transpose", split(k), perm=[0, 1, 3, 2]))
    probabilities = net.op("Softmax", net.op("Mul", scores, net.constant(np.float32(8**-0.5))), axis=-1)
    mixed = net.op("Transpose", net.op("MatMul", probabilities, split(v)), perm=[0, 2, 1, 3])
    x = net.op("Add", x, net.linear(net.shape(mixed, 1, tokens, width), width, width))
    hidden = net.op("Gelu", net.linear(norm(x), width, 24))
    x = net.op("Add", x, net.linear(hidden, 24, width))
    mean = net.op("ReduceMean", norm(x), net.constant(np.array([1])), keepdims=0)
    return net.model(net.op("Gemm", mean, net.normal(5, width), net.normal(5), transB=1))


def patch_convolution() -> onnx.ModelProto:
    """[1, 3, 8, 8] in patches of 4x2 -> [1, 8, 10] -> 5."""
    net = Net()
    x = net.op("Conv", net.input(1, 3, 8, 8), net.normal(10, 3, 4, 2, scale=0.2), net.normal(10), strides=[4, 2])
    x = net.op("Transpose", net.shape(x, 1, 10, 8), perm=[0, 2, 1])
    return net.model(net.linear(x, 10, 5))


def convolutions(**attributes: Any) -> onnx.ModelProto:
    """[1, 3, 9, 7] -> 3x3 with padding, ReLU -> 3x3 depthwise -> 1x1 in two groups -> 3x2 with other ``attributes``."""
    net = Net()
    x = net.op("Relu", net.op("Conv", net.input(1, 3, 9, 7), net.normal(10, 3, 3, 3, scale=0.2), net.normal(10), pads=[1, 1, 1, 1]))
    x = net.op("Conv", x, net.normal(10, 1, 3, 3, scale=0.3), net.normal(10), group=10, pads=[1, 1, 1, 1])
    x = net.op("Conv", x, net.normal(6, 5, 1, 1, scale=0.3), group=2)
    return net.model(net.op("Conv", x, net.normal(5, 6, 3, 2, scale=0.2), net.normal(5), **attributes))


def pooled(last: str) -> onnx.ModelProto:
    """[1, 3, 8, 12] -> 3x3 by 1x2 -> mean of 2x2 -> mean over all pixels, by the operator ``last`` -> 5."""
    net = Net()
    x = net.op("Relu", net.op("Conv", net.input(1, 3, 8, 12), net.normal(10, 3, 3, 3, scale=0.2), net.normal(10), strides=[1, 2]))
    x = net.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 1])
    x = net.op("ReduceMean", x, net.constant(np.array([2, 3])), keepdims=1) if last == "ReduceMean" else net.op(last, x)
    return net.model(net.op("Gemm", net.op("Flatten", x), net.normal(5, 10), net.normal(5), transB=1))


def shuffled(groups: int = 2, *, sliced: bool = False, branch: bool = True, blocks: int = 3) -> onnx.ModelProto:
    """[1, 3, 8, 8] -> 1x1 to 24 channels -> blocks of ShuffleNetV2, channels shuffled in groups -> 1x1 to 5.

    sliced: the halves are taken by Slice with a step of 1, as older exporters spell them. branch: the first block is one of steps of two.
    """
    net, channels = Net(), 24

    def conv(x: str, n: int, k: int, size: int = 1, *, relu: bool = True, **attributes: Any) -> str:
        weights = net.normal(n, k, size, size, scale=(k * size * size) ** -0.5)
        x = net.op("Conv", x, weights, net.normal(n, scale=0.2), pads=[size // 2] * 4, **attributes)
        return net.op("Relu", x) if relu else x

    def half(x: str, width: int, start: int) -> str:
        return net.op("Slice", x, *(net.constant(np.array([n])) for n in (start, start + width, 1, 1)))

    def split(x: str, width: int) -> list[str]:
        if sliced:
            return [half(x, width, start) for start in (0, width)]
        return list(net.op("Split", x, net.constant(np.array([width, width])), axis=1, outputs=2))

    def depthwise(x: str, c: int, stride: int = 1) -> str:
        return conv(x, c, 1, 3, relu=False, group=c, strides=[stride, stride])

    def shuffle(parts: list[str], width: int, size: int) -> str:
        x = net.op("Concat", *parts, axis=1)
        x = net.op("Transpose", net.shape(x, 1, groups, width // groups, size, size), perm=[0, 2, 1, 3, 4])
        return net.shape(x, 1, -1, size, size)

    x, size = conv(net.input(1, 3, 8, 8), channels, 3), 8
    if branch:
        size, width = 4, channels
        left = conv(depthwise(x, width, 2), width, width)
        x = shuffle([left, conv(depthwise(conv(x, width, width), width, 2), width, width)], 2 * channels, size)
        channels *= 2
    for _ in range(blocks):
        width = channels // 2
        left, right = split(x, width)
        x = shuffle([left, conv(depthwise(conv(right, width, width), width), width, width)], channels, size)
    return net.model(conv(x, 5, channels, relu=False))


def max_pooled() -> onnx.ModelProto:
    """[1, 3, 8, 12] -> 3x3 -> maxima of 3x2 with padding -> of 2x2 patches -> of all pixels -> 5."""
    net = Net()
    x = net.op("Conv", net.input(1, 3, 8, 12), net.normal(10, 3, 3, 3, scale=0.2), net.normal(10), pads=[1, 1, 1, 1])
    x = net.op("MaxPool", x, kernel_shape=[3, 2], strides=[2, 1], dilations=[1, 2], pads=[1, 1, 1, 1])
    x = net.op("GlobalMaxPool", net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    return net.model(net.op("Gemm", net.op("Flatten", x), net.normal(5, 10), net.normal(5), transB=1))


def generator() -> onnx.ModelProto:
    """[1, 1, 6, 8] -> 3x3 -> upsampled -> 3x3 -> maxima of 2x2 -> 3x3, of one channel, as InTAR's CNN."""
    net = Net()

    def conv(x: str) -> str:
        return net.op("Relu", net.op("Conv", x, net.normal(1, 1, 3, 3, scale=0.4), net.normal(1), pads=[1, 1, 1, 1]))

    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    x = net.op(
        "Resize",
        *(conv(net.input(1, 1, 6, 8)), "", scales),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    x = net.op("MaxPool", conv(x), kernel_shape=[2, 2], strides=[2, 2])
    return net.model(conv(x))


def autoencoder() -> onnx.ModelProto:
    """[1, 2, 12, 12] -> 5x5 -> 3x3 -> mean + deviation * noise -> 3x3 -> 5x5, of two channels, as InTAR's variational one."""
    net = Net()

    def conv(x: str, size: int, kind: str = "Conv") -> str:
        return net.op(kind, x, net.normal(2, 2, size, size, scale=0.5 / size), net.normal(2))

    hidden = conv(conv(net.input(1, 2, 12, 12), 5), 3)
    deviation = net.op("Exp", net.op("Mul", hidden, net.constant(np.float32(0.5))))
    sample = net.op("Add", hidden, net.op("Mul", deviation, net.input(1, 2, 6, 6)))
    return net.model(conv(conv(sample, 3, "ConvTranspose"), 5, "ConvTranspose"))


def samples(model: onnx.ModelProto, count: int, seed: int) -> list[dict[str, NDArray]]:
    """Random inputs for a model: normal float32, or uint8."""
    random = np.random.default_rng(seed)

    def draw(info: onnx.ValueInfoProto) -> NDArray:
        shape = [d.dim_value for d in info.type.tensor_type.shape.dim]
        if info.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            return random.integers(0, 256, shape).astype(np.uint8)
        return random.normal(size=shape).astype(np.float32)

    return [{info.name: draw(info) for info in model.graph.input} for _ in range(count)]


class Reader(CalibrationDataReader):
    """Hands out samples one by one."""

    def __init__(self, arrays: list[dict[str, NDArray]]):
        self.arrays: Iterator[dict[str, NDArray]] = iter(arrays)

    def get_next(self) -> dict:
        return next(self.arrays, {})


def quantize(model: onnx.ModelProto, path: Path, extra: Mapping[str, Any] | None = None, **options: Any) -> Path:
    """ONNX Runtime's quantize_static with 16 random calibration samples; returns ``path``."""
    logging.getLogger().setLevel(logging.ERROR)
    reader = Reader(samples(model, 16, seed=2))
    quantize_static(model, path, reader, quant_format=QuantFormat.QDQ, extra_options=dict(extra or {}), **options)
    return path
