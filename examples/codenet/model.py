"""CoDeNet (arXiv 2006.08357): ShuffleNetV2 with a decoder of CenterNet, W4A8, with random weights.

Who wants trained ones quantizes a network of this form; cycles don't depend on the numbers. All weights have four bits, those of the first
convolution too. The batch normalizations are folded. The image comes as bytes, so that the host computes nothing.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..detections import Decoder
from .nodes import Nodes, real

CHANNELS = 24, 116, 232, 464, 1024  # of the stem, three stages, and the last layer of the backbone
BLOCKS = 3, 7, 3  # of a stage, behind its first one
DECODER = 256, 128, 64
HEADS = {"hm": 20, "wh": 2, "reg": 2}
DETECTIONS = 100
OUTPUTS = {"scores": (1, DETECTIONS), "classes": (1, DETECTIONS), "pixel": (1, DETECTIONS)} | {
    f"{name}_found": (1, DETECTIONS, HEADS[name]) for name in ("wh", "reg")
}
PARTS = "stem", "stage 2", "stage 3", "stage 4", "last convolution", "decoder", "heads", "decode"
LOW, HIGH = -1, 6  # of an offset, such that 1 + offset is in 0..7
TAPS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], np.float32)
RELU_GAIN, LINEAR_GAIN = 2.0, 1.0  # variance of weights times inputs, with which activations keep theirs
OFFSET_GAIN = 60.0  # with which offsets are some pixels


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """size: of the square image, a multiple of 32. width: of all layers, to that of the paper. deformable: whether the decoder's depthwise
    convolutions are; else they look at fixed places. seed: of weights and image."""

    size: int = 256
    width: float = 1.0
    deformable: bool = True
    seed: int = 1

    def channels(self, count: int) -> int:
        """Of a layer that has so many in the paper: even, so that they can be split."""
        return max(2, 2 * round(count * self.width / 2))


def image(configuration: Configuration) -> NDArray[np.uint8]:
    """[1, 3, size, size] with the spectrum of natural images: amplitudes fall with the frequency."""
    random, size = np.random.default_rng(configuration.seed), configuration.size
    y, x = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(y, x), 1 / size)
    noise = np.fft.rfft2(random.normal(size=(3, size, size))) * amplitude
    smooth = np.fft.irfft2(noise, s=(size, size))
    return np.clip(np.rint(128 + 50 * smooth / smooth.std()), 0, 255).astype(np.uint8)[None]


def build(configuration: Configuration) -> onnx.ModelProto:
    """The QDQ network, with the scales of what the float network makes of `image`."""
    nodes, model = _network(configuration, None)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [name for names in nodes.observed.values() for name in names]
    found = dict(zip(names, map(np.asarray, session.run(names, {"image": image(configuration)})), strict=True))
    ranges = {key: max(float(np.abs(found[name]).max()) for name in names) for key, names in nodes.observed.items()}
    return _with_detections(_network(configuration, ranges)[1], configuration.size // 4)


def _with_detections(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """Of maps of so many lines and columns: class, pixel (line * size + column), size and offset of the largest local maxima."""
    decoder = Decoder(model, (HEADS["hm"], size, size))
    pixel = decoder.largest(DETECTIONS)
    for name in ("wh", "reg"):
        decoder.near(name, HEADS[name], pixel, f"{name}_found")
    return decoder.finished(OUTPUTS, {"classes", "pixel"})


def _network(configuration: Configuration, ranges: dict[str, float] | None) -> tuple[Nodes, onnx.ModelProto]:
    """In float without ranges: its outputs are then all activations."""
    nodes = Nodes(np.random.default_rng(configuration.seed), ranges)
    layers = _Layers(nodes, configuration)
    results = layers.heads(*layers.decoder(*layers.backbone()))
    shape = (1, 3, configuration.size, configuration.size)
    source = helper.make_tensor_value_info("image", TensorProto.UINT8, shape)
    if ranges is None:
        results = [name for names in nodes.observed.values() for name in names]
    return nodes, nodes.model(source, [real(name) for name in results])


@dataclass
class _Layers:
    """A layer takes the name of a map and its channels; size: of the map at hand."""

    nodes: Nodes
    configuration: Configuration
    size: int = 0

    def convolution(self, x: str, inputs: int, outputs: int, name: str, *, kernel: int = 1, stride: int = 1) -> str:
        """With ReLU."""
        weights = self.nodes.weights(outputs, inputs, kernel, kernel, gain=RELU_GAIN)
        pads, strides = [kernel // 2] * 4, [stride] * 2
        y = self.nodes.op("Conv", x, weights, self.nodes.bias(outputs), pads=pads, strides=strides, kernel_shape=[kernel] * 2)
        return self.nodes.quantized(self.nodes.op("Relu", y), name, signed=False)

    def depthwise(self, x: str, channels: int, name: str, *, stride: int = 1) -> str:
        weights = self.nodes.weights(channels, 1, 3, 3, gain=LINEAR_GAIN)
        about = {"pads": [1] * 4, "strides": [stride] * 2, "kernel_shape": [3, 3], "group": channels}
        return self.nodes.quantized(self.nodes.op("Conv", x, weights, self.nodes.bias(channels), **about), name)

    def deformable(self, x: str, channels: int, name: str) -> str:
        """A depthwise convolution whose taps are 1 + offset pixels apart, a whole number that a convolution of one channel gives for each
        pixel."""
        nodes = self.nodes
        offset = nodes.op("Conv", x, nodes.weights(1, channels, 1, 1, gain=OFFSET_GAIN), nodes.bias(1), kernel_shape=[1, 1])
        low, high = (nodes.constant(np.float32(limit)) for limit in (LOW, HIGH))
        clipped = nodes.op("Clip", nodes.steps(offset, 1.0), low, high)
        offsets = nodes.op("Mul", clipped, nodes.constant(TAPS.reshape(1, -1, 1, 1)))
        weights = nodes.weights(channels, 1, 3, 3, gain=LINEAR_GAIN)
        about = {"group": channels, "kernel_shape": [3, 3], "pads": [1] * 4, "offset_group": 1}
        return nodes.quantized(nodes.op("DeformConv", x, weights, offsets, nodes.bias(channels), **about), name)

    def backbone(self) -> tuple[str, int]:
        self.nodes.part = PARTS[0]
        channels = [self.configuration.channels(count) for count in CHANNELS]
        source = self.nodes.op("DequantizeLinear", "image", *map(self.nodes.constant, (np.float32(1 / 64), np.uint8(128))))
        x = self.convolution(source, 3, channels[0], "stem", kernel=3, stride=2)
        pooled = self.nodes.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        x, self.size = self.nodes.quantized(pooled, "stem", signed=False), self.configuration.size // 4
        for stage, blocks in enumerate(BLOCKS):
            self.nodes.part = PARTS[1 + stage]
            x = self.first_block(x, channels[stage], channels[stage + 1], self.nodes.part)
            for _ in range(blocks):
                x = self.block(x, channels[stage + 1], self.nodes.part)
        self.nodes.part = PARTS[4]
        return self.convolution(x, channels[-2], channels[-1], "last"), channels[-1]

    def branch(self, x: str, inputs: int, outputs: int, name: str, stride: int) -> str:
        """1x1, depthwise, 1x1."""
        y = self.depthwise(self.convolution(x, inputs, outputs, f"{name}.inner"), outputs, f"{name}.depthwise", stride=stride)
        return self.convolution(y, outputs, outputs, name)

    def first_block(self, x: str, inputs: int, outputs: int, name: str) -> str:
        self.size //= 2
        left = self.convolution(self.depthwise(x, inputs, f"{name}.left", stride=2), inputs, outputs // 2, name)
        return self.shuffled(left, self.branch(x, inputs, outputs // 2, name, 2), outputs, name)

    def block(self, x: str, channels: int, name: str) -> str:
        half = channels // 2
        left, right = self.nodes.op("Split", x, self.nodes.integers(half, half), axis=1, outputs=2)
        return self.shuffled(left, self.branch(right, half, half, name, 1), channels, name)

    def shuffled(self, left: str, right: str, channels: int, name: str) -> str:
        """The channels of both in turn. All that is joined in a stage has one scale."""
        nodes, size = self.nodes, self.size
        x = nodes.quantized(nodes.op("Concat", left, right, axis=1), name, signed=False)
        x = nodes.op("Reshape", x, nodes.integers(1, 2, channels // 2, size, size))
        return nodes.op("Reshape", nodes.op("Transpose", x, perm=[0, 2, 1, 3, 4]), nodes.integers(1, channels, size, size))

    def decoder(self, x: str, channels: int) -> tuple[str, int]:
        self.nodes.part = PARTS[5]
        for number, count in enumerate(DECODER):
            outputs, name = self.configuration.channels(count), f"decoder{number}"
            deform = self.deformable if self.configuration.deformable else self.depthwise
            x = self.convolution(deform(x, channels, f"{name}.depthwise"), channels, outputs, name)
            twice, mode = self.nodes.constant(np.array([1, 1, 2, 2], np.float32)), "asymmetric"
            x = self.nodes.op("Resize", x, "", twice, coordinate_transformation_mode=mode, mode="nearest", nearest_mode="floor")
            x = self.nodes.quantized(x, name, signed=False)
            channels, self.size = outputs, 2 * self.size
        return x, channels

    def heads(self, x: str, channels: int) -> list[str]:
        """The names of their results."""
        self.nodes.part, results = PARTS[6], []
        for name, outputs in HEADS.items():
            y = self.depthwise(self.convolution(x, channels, channels, f"{name}.inner"), channels, f"{name}.depthwise")
            weights = self.nodes.weights(outputs, channels, 1, 1, gain=LINEAR_GAIN)
            y = self.nodes.quantized(self.nodes.op("Conv", y, weights, self.nodes.bias(outputs), kernel_shape=[1, 1]), name)
            if name == "hm":
                y = self.nodes.steps(self.nodes.op("Sigmoid", y), 1 / 255, signed=False)
            results.append(self.nodes.named(y, name))
        return results
