"""Graphs of published networks, as problems of the planner: int8, with the shapes of their papers. An operation is what an engine does at
once: batch normalization and the function behind a product are part of it, a concatenation is one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from celosia.sw.planning.problem import Operation, Problem, Tensor


@dataclass
class Network:
    """Built operation by operation. weights: they are tensors too, read once."""

    weights: bool
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)

    def input(self, *shape: int) -> str:
        return self._tensor(f"input{len(self.tensors)}", shape, stored=True)

    def add(self, kind: str, reads: list[str], *shape: int, weights: int = 0) -> str:
        """An operation that makes a tensor of that shape, whose name it has."""
        name = f"{kind}{len(self.operations)}"
        read = list(dict.fromkeys(reads))
        if weights and self.weights:
            read.append(self._tensor(f"{name}.weights", (weights,), stored=True))
        self.operations.append(Operation(name, tuple(read), (self._tensor(name, shape),)))
        return name

    def problem(self, *outputs: str) -> Problem:
        wanted = {name: Tensor(name, self.tensors[name].size, wanted=True) for name in outputs}
        return Problem(self.tensors | wanted, tuple(self.operations))

    def conv(self, x: str, channels: int, kernel: int = 1, stride: int = 1, *, depthwise: bool = False, kind: str = "conv") -> str:
        """Of a map [channels, height, width], with zeros around it."""
        before, height, width = self.shapes[x]
        weights = (1 if depthwise else before) * channels * kernel**2
        return self.add(kind, [x], channels, -(-height // stride), -(-width // stride), weights=weights)

    def pool(self, x: str, stride: int) -> str:
        channels, height, width = self.shapes[x]
        return self.add("pool", [x], channels, -(-height // stride), -(-width // stride))

    def sum(self, *reads: str) -> str:
        return self.add("add", list(reads), *self.shapes[reads[0]])

    def concat(self, *reads: str) -> str:
        return self.add("concat", list(reads), sum(self.shapes[name][0] for name in reads), *self.shapes[reads[0]][1:])

    def linear(self, x: str, features: int) -> str:
        """Of the last axis."""
        *rows, before = self.shapes[x]
        return self.add("linear", [x], *rows, features, weights=before * features)

    def classified(self, x: str, classes: int) -> str:
        pooled = self.add("mean", [x], self.shapes[x][0])
        return self.linear(pooled, classes)

    def norm(self, x: str) -> str:
        return self.add("norm", [x], *self.shapes[x], weights=2 * self.shapes[x][-1])

    def attention(self, x: str, memory: str, heads: int) -> str:
        """Of the rows of x to those of memory, with its products before and after."""
        (rows, width), (keys, _) = self.shapes[x], self.shapes[memory]
        q, k, v = self.linear(x, width), self.linear(memory, width), self.linear(memory, width)
        scores = self.add("scores", [q, k], heads, rows, keys)
        weighted = self.add("softmax", [scores], heads, rows, keys)
        return self.linear(self.add("context", [weighted, v], rows, width), width)

    def _tensor(self, name: str, shape: tuple[int, ...], *, stored: bool = False) -> str:
        self.shapes[name], self.tensors[name] = shape, Tensor(name, prod(shape), stored)
        return name


def resnet50(net: Network) -> Problem:
    """He et al. 2016, 224 x 224."""
    return net.problem(net.classified(_resnet(net, net.input(3, 224, 224), strides=(1, 2, 2, 2)), 1000))


def densenet121(net: Network) -> Problem:
    """Huang et al. 2017, 224 x 224. Batch normalization and ReLU before each 1x1 convolution, of all that is joined, are operations."""
    x, growth = net.pool(net.conv(net.input(3, 224, 224), 64, 7, 2), 2), 32
    for layers in (6, 12, 24, 16):
        if len(net.operations) > 2:
            x = net.pool(net.conv(net.add("norm", [x], *net.shapes[x]), net.shapes[x][0] // 2), 2)
        parts = [x]
        for _ in range(layers):
            joined = net.concat(*parts) if len(parts) > 1 else x
            normal = net.add("norm", [joined], *net.shapes[joined])
            parts.append(net.conv(net.conv(normal, 4 * growth), growth, 3))
        x = net.concat(*parts)
    return net.problem(net.classified(net.add("norm", [x], *net.shapes[x]), 1000))


def vit_base(net: Network) -> Problem:
    """Dosovitskiy et al. 2021, patches of 16 x 16 of 224 x 224: 197 tokens with that of the class."""
    x = net.add("patches", [net.input(3, 224, 224)], 197, 768, weights=(3 * 16 * 16 + 197) * 768)
    for _ in range(12):
        normal = net.norm(x)
        x = net.sum(x, net.attention(normal, normal, 12))
        x = net.sum(x, net.linear(net.linear(net.norm(x), 3072), 768))
    return net.problem(net.linear(net.add("norm", [x], 768), 1000))


def transformer(net: Network) -> Problem:
    """Vaswani et al. 2017, the base model, embeddings to embeddings of 256 tokens each: the paper names no length."""
    encoded, decoded = net.input(256, 512), net.input(256, 512)

    def mlp(x: str) -> str:
        return net.norm(net.sum(x, net.linear(net.linear(x, 2048), 512)))

    for _ in range(6):
        encoded = mlp(net.norm(net.sum(encoded, net.attention(encoded, encoded, 8))))
    for _ in range(6):
        decoded = net.norm(net.sum(decoded, net.attention(decoded, decoded, 8)))
        decoded = mlp(net.norm(net.sum(decoded, net.attention(decoded, encoded, 8))))
    return net.problem(decoded)


def deeplabv3(net: Network) -> Problem:
    """Chen et al. 2017, on ResNet-50 with an output stride of 16, 513 x 513, 21 classes."""
    x = _resnet(net, net.input(3, 513, 513), strides=(1, 2, 2, 1))
    _, height, width = net.shapes[x]
    pooled = net.conv(net.add("mean", [x], 2048, 1, 1), 256)
    branches = [net.conv(x, 256), *(net.conv(x, 256, 3) for _ in range(3)), net.add("resize", [pooled], 256, height, width)]
    scores = net.conv(net.conv(net.concat(*branches), 256), 21)
    return net.problem(net.add("resize", [scores], 21, 513, 513))


def nasnet_a(net: Network) -> Problem:
    """Zoph et al. 2018, NASNet-A (4 @ 1056), 224 x 224."""
    stem = net.conv(net.input(3, 224, 224), 32, 3, 2)
    before, x = stem, _cell(net, stem, stem, 11, reduces=True)
    before, x = x, _cell(net, x, before, 22, reduces=True)
    for stage, filters in enumerate((44, 88, 176)):
        if stage:
            before, x = x, _cell(net, x, before, filters, reduces=True)
        for _ in range(4):
            before, x = x, _cell(net, x, before, filters, reduces=False)
    return net.problem(net.classified(x, 1000))


def _resnet(net: Network, x: str, strides: tuple[int, ...]) -> str:
    """The 50 layers but for the last two."""
    x = net.pool(net.conv(x, 64, 7, 2), 2)
    for stage, (blocks, stride) in enumerate(zip((3, 4, 6, 3), strides, strict=True)):
        for block in range(blocks):
            step, width = stride if block == 0 else 1, 64 << stage
            y = net.conv(net.conv(net.conv(x, width), width, 3, step), 4 * width)
            x = net.sum(y, net.conv(x, 4 * width, 1, step) if block == 0 else x)
    return x


def _cell(net: Network, x: str, before: str, filters: int, *, reduces: bool) -> str:
    """Of NASNet-A, figure 4 there. x, before: what the last cell made, and the one before it."""
    halves = net.shapes[before][1] // net.shapes[x][1]
    h, g = net.conv(x, filters), net.conv(before, filters, 1, halves)
    stride = 2 if reduces else 1

    def separable(y: str, kernel: int, step: int) -> str:
        for s in (step, 1):
            y = net.conv(net.conv(y, net.shapes[y][0], kernel, s, depthwise=True, kind="depthwise"), filters)
        return y

    if reduces:
        first = net.sum(separable(g, 7, stride), separable(h, 5, stride))
        second = net.sum(net.pool(h, stride), separable(g, 7, stride))
        third = net.sum(net.pool(h, stride), separable(g, 5, stride))
        fourth = net.sum(net.pool(h, stride), separable(first, 3, 1))
        return net.concat(second, third, fourth, net.sum(net.pool(first, 1), second))
    sums = [
        net.sum(separable(h, 3, 1), h),
        net.sum(separable(g, 3, 1), separable(h, 5, 1)),
        net.sum(net.pool(h, 1), g),
        net.sum(net.pool(g, 1), net.pool(g, 1)),
        net.sum(separable(g, 5, 1), separable(g, 3, 1)),
    ]
    return net.concat(g, *sums)


NETWORKS: Mapping[str, Callable[[Network], Problem]] = {
    "ResNet-50": resnet50,
    "DenseNet-121": densenet121,
    "ViT-Base": vit_base,
    "Transformer": transformer,
    "DeepLabV3": deeplabv3,
    "NASNet-A": nasnet_a,
}


def problems(*, weights: bool) -> Iterator[tuple[str, Problem]]:
    for name, build in NETWORKS.items():
        yield name, build(Network(weights))
