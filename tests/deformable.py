"""QDQ networks with a DeformConv, for tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx_models import Net

OPSET = 22


def grid(kernel: int) -> NDArray[np.float32]:
    """[1, 2 * taps, 1, 1]: the taps' places, along y and x, from the kernel's centre."""
    along = np.arange(kernel, dtype=np.float32) - kernel // 2
    return np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(1, -1, 1, 1)


@dataclass(frozen=True)
class Layer:
    """square: one offset for each pixel; else one for each tap. step: of an offset, in pixels. least, most: of an offset, 0 for no Clip."""

    channels: int = 16
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    size: tuple[int, int] = (9, 11)
    square: bool = True
    step: float = 1.0
    least: float = -1.0
    most: float = 6.0
    masked: bool = False
    full: bool = False
    offset_zero_point: int = 0

    @property
    def maps(self) -> tuple[int, int]:
        """Lines and columns of the result."""
        reach = self.dilation * (self.kernel - 1)
        lines, columns = ((size + 2 * (reach // 2) - reach - 1) // self.stride + 1 for size in self.size)
        return lines, columns


LAYERS = {
    "square": Layer(channels=20),
    "square by 2, staged": Layer(stride=2, size=(30, 13), channels=24),
    "free": Layer(square=False, least=-4, most=4, masked=True),
    "wide": Layer(size=(6, 40), least=-2, most=3),
    "full": Layer(full=True, channels=8),
}


def network(layer: Layer, seed: int = 1, outputs: int = 24) -> onnx.ModelProto:
    """[1, channels, height, width] through a DeformConv whose offsets, and masks, a convolution of it makes; and that convolved."""
    net, taps, c = Net(seed), layer.kernel**2, layer.channels
    x = net.quantized(net.input(1, c, *layer.size), 0.02, np.int8(5))
    pad = layer.dilation * (layer.kernel // 2)

    def made(channels: int, spread: float) -> str:
        q = _weights(net, net.random.normal(size=(channels, c, 1, 1)) * spread / np.sqrt(c), 0.01 * spread)
        return net.op("Conv", x, q, net.normal(channels, scale=spread / 2), strides=[layer.stride] * 2)

    offsets = net.quantized(made(1 if layer.square else 2 * taps, 2.0), layer.step, np.int8(layer.offset_zero_point))
    if layer.most:
        limits = (net.constant(np.float32(limit)) for limit in (layer.least, layer.most))
        offsets = net.op("Clip", offsets, *limits)
    if layer.square:
        offsets = net.op("Mul", offsets, net.constant(grid(layer.kernel)))
    masks = [net.quantized(net.op("Sigmoid", net.quantized(made(taps, 1.5), 0.05)), 1 / 255, np.int8(-128))] if layer.masked else []
    n, of_channels = (20, c) if layer.full else (c, 1)
    kernels = _kernels(net, n, of_channels, layer)
    attributes: dict[str, Any] = {
        "kernel_shape": [layer.kernel] * 2,
        "pads": [pad] * 4,
        "dilations": [layer.dilation] * 2,
        "strides": [layer.stride] * 2,
    }
    group = 1 if layer.full else c
    y = net.op("DeformConv", x, kernels, offsets, net.normal(n, scale=0.1), *masks, group=group, **attributes)
    y = net.quantized(net.op("Relu", y), 0.015, np.int8(-128))
    weights = _weights(net, net.random.normal(size=(outputs, n, 1, 1)) * 0.3, 0.01)
    return net.model(net.quantized(net.op("Conv", y, weights), 0.03), opset=OPSET)


def save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "deformable.onnx"
    onnx.save(model, path)
    return path


def _weights(net: Net, array: NDArray[np.float64], scale: float) -> str:
    """As int8, one scale for each channel."""
    scales = np.full(len(array), scale, np.float32) * (1 + np.arange(len(array)) % 3)
    return _dequantized(net, np.clip(np.rint(array / scales.reshape(-1, 1, 1, 1)), -128, 127), scales)


def _kernels(net: Net, n: int, channels: int, layer: Layer) -> str:
    data = net.random.integers(-128, 128, (n, channels, layer.kernel, layer.kernel))
    return _dequantized(net, data, net.random.uniform(0.5, 1.5, n) / (128 * layer.kernel * np.sqrt(channels)))


def _dequantized(net: Net, data: NDArray, scales: NDArray) -> str:
    constants = data.astype(np.int8), scales.astype(np.float32), np.zeros(len(data), np.int8)
    return net.op("DequantizeLinear", *map(net.constant, constants), axis=0)
