"""The computing operators: each function gives the value of its node's first output, and raises ValueError with the reason."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from .deform import Deformed, Sampled, spread
from .joined import joined
from .onnx_file import Node
from .operands import Operands, positive
from .peaks import Alike, Places
from .product import Product, convolve, mean_weights, multiply
from .readers import mean_operand
from .resize import resized
from .rowwise import ErfOf, GeluOf, Multiplied, NormOf, Rescaled, Sum
from .softmax import Masked, SoftmaxOf
from .values import Constant, View


def _matmul(node: Node, operands: Operands) -> View:
    return multiply(node, operands.matrix(node, 0), operands.matrix(node, 1), operands.names)


def _gemm(node: Node, operands: Operands) -> View:
    a, b = (operands.matrix(node, slot) for slot in (0, 1))
    a = a.moved(np.transpose) if node.attributes.get("transA", 0) else a
    b = b.moved(np.transpose) if node.attributes.get("transB", 0) else b
    value = _scaled(multiply(node, a, b, operands.names), positive(node.attributes.get("alpha", 1.0), "alpha"))
    bias = operands.finite(node, 2)
    return value if bias is None else _biased(value, bias, node.attributes.get("beta", 1.0))


def _conv(node: Node, operands: Operands) -> View:
    x, weights = operands.feature_map(node, 0), operands.constant(node, 1)
    if weights is None or len(weights.shape) != 4 or len(x.shape) != 4:
        raise ValueError("only 2-D convolution with constant weights is supported")
    return _convolved(node, x, weights, int(node.attributes.get("group", 1)), operands)


def _conv_transpose(node: Node, operands: Operands) -> View:
    """With steps of one pixel: a convolution with the kernel turned by half, over a map with so much more around it."""
    x, weights = operands.feature_map(node, 0), operands.constant(node, 1)
    attributes, given = node.attributes, {"strides": [1, 1], "output_padding": [0, 0], "group": 1, "auto_pad": b"NOTSET"}
    other = {name: attributes[name] for name, value in given.items() if attributes.get(name, value) != value}
    if weights is None or len(weights.shape) != 4 or len(x.shape) != 4 or "output_shape" in attributes:
        raise ValueError("only 2-D transposed convolution with constant weights and no output_shape is supported")
    if other:
        raise ValueError(f"{', '.join(f'{name} {value}' for name, value in other.items())} of a transposed convolution is not supported")
    dilations, pads = attributes.get("dilations", [1, 1]), attributes.get("pads", [0] * 4)
    reach = [(size - 1) * dilation for size, dilation in zip(weights.shape[2:], dilations, strict=True)]
    around = [far - pad for far, pad in zip(reach * 2, pads, strict=True)]
    if min(around) < 0:
        raise ValueError(f"pads {list(pads)} of a transposed convolution must not be more than {reach * 2}")
    turned = weights.moved(lambda w: np.flip(w, (2, 3)).swapaxes(0, 1))
    return _convolved(replace(node, attributes={"dilations": dilations, "pads": around}), x, turned, 1, operands)


def _convolved(node: Node, x: View, weights: Constant, groups: int, operands: Operands) -> View:
    """With the node's bias, if it has one."""
    value = convolve(node, x, weights, groups, operands.names)
    bias = operands.finite(node, 2)
    return value if bias is None else _biased(value, bias.moved(lambda b: b.reshape(-1, 1, 1)))


def _reduce_mean(node: Node, operands: Operands) -> View:
    x, axes = operands.feature_map(node, 0), operands.readers.mean_axes(node)
    axes, columns = mean_operand(axes, x.index)
    count = columns.shape[-2]
    value = multiply(node, mean_weights((1, count), count, bits=8), replace(x, index=columns), operands.names)
    index = value.index[..., 0, :]
    return replace(value, index=np.expand_dims(index, axes) if node.attributes.get("keepdims", 1) else index)


def _average_pool(node: Node, operands: Operands) -> View:
    x = operands.feature_map(node, 0)
    if len(x.shape) != 4:
        raise ValueError("only 2-D pooling is supported")
    if any(node.attributes.get("pads", ())) and not node.attributes.get("count_include_pad", 0):
        raise ValueError("padding that does not count is not supported")
    kernel, channels = tuple(node.attributes["kernel_shape"]), x.shape[1]
    return convolve(node, x, mean_weights((channels, 1, *kernel), math.prod(kernel), bits=2), channels, operands.names)


def _max_pool(node: Node, operands: Operands) -> View:
    x = operands.feature_map(node, 0)
    if len(x.shape) != 4 or any(node.outputs[1:]):
        raise ValueError("only 2-D pooling is supported, and only its values")
    kernel = tuple(node.attributes.get("kernel_shape", x.shape[2:]))
    return convolve(node, x, mean_weights((x.shape[1], 1, *kernel), 1, bits=2), x.shape[1], operands.names, maximum=True)


def _biased(value: View, bias: Constant, factor: float = 1.0) -> View:
    """A product plus ``bias * factor``."""
    product = value.source
    assert isinstance(product, Product)
    if product.relu or np.broadcast_shapes(value.shape, bias.shape) != value.shape:
        raise ValueError(f"its constant operand {bias.name} {list(bias.shape)} can't be added to {list(value.shape)}")
    added = np.broadcast_to(bias.array * factor, value.shape).astype(np.float64)
    columns = product.columns(value.index.reshape(-1), added.reshape(-1))
    return replace(value, source=replace(product, bias=product.bias + columns))


def _add(node: Node, operands: Operands) -> View:
    slot = 1 if isinstance(operands.value(node, 0), Constant) else 0
    value, other = operands.value(node, slot), operands.value(node, 1 - slot)
    if isinstance(value, View) and isinstance(other, Constant):
        if operands.readers.read_only_by(node, "Softmax"):
            return Masked.added(node, operands.view(node, slot), other)
        operands.finite(node, 1 - slot)
        if isinstance(value.source, Product):
            return _biased(value, other)
        if isinstance(value.source, ErfOf) and other.array.size == 1 and other.array.item() == 1:
            return replace(value, source=replace(value.source, plus_one=True))
    return Sum.of(node, operands.view(node, slot), operands.matrix(node, 1 - slot), operands.names)


def _scaled(value: View, factor: float) -> View:
    if isinstance(value.source, Product | GeluOf):
        return replace(value, source=value.source.scaled(factor))
    return replace(value, scale=value.scale * factor)


def _mul(node: Node, operands: Operands) -> View:
    if operands.readers.read_only_by(node, "DeformConv"):
        return spread(node, operands)
    for slot in (0, 1):
        value, factor = operands.value(node, slot), operands.factor(node, 1 - slot)
        if isinstance(value, Constant):
            continue
        if factor is not None:
            return _scaled(value if isinstance(value.source, Product | GeluOf) else operands.view(node, slot), factor)
        if isinstance(value.source, ErfOf | Alike):
            return value.source.times(node, value.index, operands.view(node, 1 - slot))
    slot = 1 if isinstance(operands.value(node, 0), Constant) else 0
    return Multiplied.of(node, operands.view(node, slot), operands.matrix(node, 1 - slot), operands.names)


def _equal(node: Node, operands: Operands) -> View:
    return Alike.of(node, operands.view(node, 0), operands.view(node, 1), operands)


def _cast(node: Node, operands: Operands) -> View:
    value = operands.value(node, 0)
    if not isinstance(value, View) or not isinstance(value.source, Alike) or node.attributes["to"] != TensorProto.FLOAT:
        raise ValueError("it is supported only of an Equal to float32")
    return value


def _mod(node: Node, operands: Operands) -> View:
    value = operands.value(node, 0)
    if not isinstance(value, View) or not isinstance(value.source, Places):
        raise ValueError("it is supported only of the indices of a TopK")
    return value.source.taken(node, value, operands)


def _div(node: Node, operands: Operands) -> View:
    if isinstance(value := operands.value(node, 0), View) and isinstance(value.source, Places):
        return value.source.taken(node, value, operands)
    value, factor = operands.value(node, 0), operands.factor(node, 1)
    if isinstance(value, Constant) or factor is None:
        raise ValueError("only a division by a constant scalar, or of functions of one int8 tensor, is supported")
    return _scaled(value if isinstance(value.source, Product | GeluOf) else operands.view(node, 0), 1 / factor)


def _relu(node: Node, operands: Operands) -> View:
    value = operands.value(node, 0)
    if not (isinstance(value, View) and isinstance(value.source, Product | Sum | Deformed | Sampled)):
        value = Rescaled.of(node, operands.view(node, 0))
    assert isinstance(value.source, Product | Sum | Deformed | Sampled | Rescaled)
    return replace(value, source=replace(value.source, relu=True))


def _where(node: Node, operands: Operands) -> View:
    condition, slot = operands.constant(node, 0), 2 if isinstance(operands.value(node, 1), Constant) else 1
    other = operands.constant(node, 3 - slot)
    assert condition
    assert other
    counts = condition.array if slot == 1 else ~condition.array
    return Masked.chosen(node, operands.view(node, slot), counts, other)


def _softmax(node: Node, operands: Operands) -> View:
    value = operands.value(node, 0)
    return SoftmaxOf.of(node, value if isinstance(value, View) and isinstance(value.source, Masked) else operands.view(node, 0))


def _gelu(node: Node, operands: Operands) -> View:
    return GeluOf.of(node, operands.view(node, 0))


def _erf(node: Node, operands: Operands) -> View:
    return ErfOf.of(node, operands.view(node, 0))


def _layer_normalization(node: Node, operands: Operands) -> View:
    beta = operands.finite(node, 2)
    return NormOf.of(node, operands.view(node, 0), _gamma(node, operands), np.zeros(1) if beta is None else beta.array)


def _rms_normalization(node: Node, operands: Operands) -> View:
    return NormOf.of(node, operands.view(node, 0), _gamma(node, operands), np.zeros(1), rms=True)


def _gamma(node: Node, operands: Operands) -> NDArray:
    gamma = operands.finite(node, 1)
    if gamma is None:
        raise ValueError("its scale must be a constant")
    return gamma.array


OPERATIONS: dict[str, Callable[[Node, Operands], View]] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Resize": resized,
    "Concat": joined,
    "ReduceMean": _reduce_mean,
    "GlobalAveragePool": _reduce_mean,
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
    "GlobalMaxPool": _max_pool,
    "Add": _add,
    "Mul": _mul,
    "Div": _div,
    "Mod": _mod,
    "Equal": _equal,
    "Cast": _cast,
    "Relu": _relu,
    "Where": _where,
    "Softmax": _softmax,
    "Gelu": _gelu,
    "Erf": _erf,
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": _rms_normalization,
}
