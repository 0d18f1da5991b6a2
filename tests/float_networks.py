"""Float networks to quantize, and samples of their inputs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from deformable import OPSET, grid
from numpy.typing import NDArray
from onnx_models import Net


def convolved(net: Net, x: str, channels: int, out: int, *, kernel: int = 1, group: int = 1, stride: int = 1, bias: bool = True) -> str:
    fan = channels // group * kernel**2
    weights = net.normal(out, channels // group, kernel, kernel, scale=fan**-0.5)
    biases = [net.normal(out, scale=0.2)] if bias else []
    return net.op("Conv", x, weights, *biases, group=group, pads=[kernel // 2] * 4, strides=[stride] * 2)


def normalized(net: Net, x: str, channels: int) -> str:
    positive = net.constant(net.random.uniform(0.5, 2, channels).astype(np.float32))
    return net.op("BatchNormalization", x, net.normal(channels, mean=1, scale=0.3), net.normal(channels), net.normal(channels), positive)


def classifier() -> onnx.ModelProto:
    """[1, 3, 12, 12]: convolutions with batch normalization, ReLU, ReLU6 and SiLU, a sum, max pooling, joined channels; then a mean and
    classes."""
    net = Net()
    x = net.input(1, 3, 12, 12)
    x = net.op("Relu", normalized(net, convolved(net, x, 3, 16, kernel=3, bias=False), 16))
    deep = net.op("Clip", convolved(net, x, 16, 16, kernel=3, group=16), net.constant(np.float32(0)), net.constant(np.float32(6)))
    x = net.op("Relu", net.op("Add", x, convolved(net, deep, 16, 16)))
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    y = convolved(net, x, 16, 16)
    x = net.op("Concat", x, net.op("Mul", y, net.op("Sigmoid", y)), axis=1)
    mean = net.op("Flatten", net.op("GlobalAveragePool", x))
    return net.model(net.op("Gemm", mean, net.normal(7, 32, scale=0.3), net.normal(7), transB=1), opset=OPSET)


def encoder(*, before: bool = False, opset: int = 21) -> onnx.ModelProto:
    """[1, 8, 32]: attention of 2 heads, then an MLP of 64, each added up and normalized, as BERT's are, or normalized ``before`` it.

    One channel of the normalizations is 30 times the others, as trained ones have them, and is read with weights of a thirtieth."""
    net, tokens, width, heads = Net(), 8, 32, 2
    outlier = np.where(np.arange(width) == 3, np.float32(30), np.float32(1))

    def norm(x: str) -> str:
        factors = net.random.normal(1, 0.2, width).astype(np.float32)
        return net.op("LayerNormalization", x, net.constant(factors * outlier), net.normal(width, scale=0.2), axis=-1)

    def read(x: str, count: int) -> str:
        weights = net.random.normal(size=(width, count)).astype(np.float32) * np.float32(width**-0.5)
        return net.op("Add", net.op("MatMul", x, net.constant(weights / outlier[:, None])), net.normal(count, scale=0.2))

    def split(x: str) -> str:
        return net.op("Transpose", net.shape(x, 1, tokens, heads, width // heads), perm=[0, 2, 1, 3])

    def attention(x: str) -> str:
        q, k, v = (split(read(x, width)) for _ in range(3))
        scores = net.op("Mul", net.op("MatMul", q, net.op("Transpose", k, perm=[0, 1, 3, 2])), net.constant(np.float32(0.25)))
        mixed = net.op("Transpose", net.op("MatMul", net.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        return net.linear(net.shape(mixed, 1, tokens, width), width, width)

    def perceptron(x: str) -> str:
        rows, weights = net.shape(x, tokens, width), net.random.normal(size=(64, width)).astype(np.float32) * np.float32(width**-0.5)
        hidden = net.op("Relu", net.op("Gemm", rows, net.constant(weights / outlier), net.normal(64, scale=0.2), transB=1))
        return net.shape(net.op("Gemm", hidden, net.normal(64, width, scale=0.125), net.normal(width, scale=0.2)), 1, tokens, width)

    x = net.input(1, tokens, width)
    x = x if before else norm(x)
    for part in (attention, perceptron):
        x = net.op("Add", x, part(norm(x))) if before else norm(net.op("Add", x, part(x)))
    return net.model(read(norm(x) if before else x, 12), opset=opset)


def of_two_outputs() -> onnx.ModelProto:
    """What a convolution gives, before its ReLU and behind it."""
    net = Net()
    before = convolved(net, net.input(1, 4, 6, 6), 4, 5)
    return net.model(before, net.op("Relu", before), shape=(1, 5, 6, 6))


@dataclass(frozen=True)
class Deformable:
    """[1, channels, *size] through a DeformConv. square: of a map of one channel; else offsets of each tap. pixels: the deviation of
    offsets. rounded, most: whether they are rounded, and within what they are kept (0: not). masked: by a Sigmoid, twice as large."""

    square: bool = False
    pixels: float = 1.0
    rounded: bool = False
    most: float = 0.0
    masked: bool = False
    full: bool = False
    channels: int = 16
    size: tuple[int, int] = (9, 11)
    together: bool = False

    def network(self) -> onnx.ModelProto:
        net, c, taps = Net(), self.channels, 9
        x = net.op("Relu", convolved(net, net.input(1, c, *self.size), c, c))
        if self.together:  # as modules of DCNv2 have it: offsets along y and x, and masks, of one convolution
            y_offsets, x_offsets, logits = net.op("Split", convolved(net, x, c, 27, kernel=3), outputs=3, axis=1, num_outputs=3)
            offsets = net.op("Concat", y_offsets, x_offsets, axis=1)
            masks = [net.op("Sigmoid", logits)]
        else:
            offsets = net.op("Mul", convolved(net, x, c, 1 if self.square else 2 * taps), net.constant(np.float32(self.pixels)))
            masks = [net.op("Mul", net.op("Sigmoid", convolved(net, x, c, taps)), net.constant(np.float32(2)))] if self.masked else []
        offsets = net.op("Round", offsets) if self.rounded else offsets
        if self.most:
            offsets = net.op("Clip", offsets, *(net.constant(np.float32(limit)) for limit in (-self.most, self.most)))
        offsets = net.op("Mul", offsets, net.constant(grid(3))) if self.square else offsets
        outputs, group = (20, 1) if self.full else (c, c)
        weights = net.normal(outputs, c // group, 3, 3, scale=(9 * c / group) ** -0.5)
        y = net.op("DeformConv", x, weights, offsets, "", *masks, group=group, kernel_shape=[3, 3], pads=[1] * 4)
        y = net.op("Relu", normalized(net, y, outputs))
        return net.model(convolved(net, y, outputs, 12), opset=OPSET)


def samples_of(model: onnx.ModelProto, count: int, seed: int = 5) -> dict[str, NDArray[np.float32]]:
    """As a file of samples holds them."""
    random = np.random.default_rng(seed)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    return {name: random.normal(size=(count, *shape[shape[0] == 1 :])).astype(np.float32) for name, shape in shapes.items()}


def saved(model: onnx.ModelProto, folder: Path, count: int = 8) -> tuple[Path, Path]:
    """The network's file, and one of samples."""
    onnx.save(model, folder / "float.onnx")
    np.savez(folder / "samples.npz", allow_pickle=False, **samples_of(model, count))
    return folder / "float.onnx", folder / "samples.npz"
