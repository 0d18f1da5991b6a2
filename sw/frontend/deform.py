"""DeformConv: which deformation its offsets make, and whether the machine's offsets are the same."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.deform import FRACTION_BITS, SAMPLE_BITS, Form
from ...rtl.arch.formats import INT8, INT16, Format
from ..golden.activation import ActivationTable
from ..golden.deform import Deformation
from ..golden.matmul import MatMulParameters, accumulator_bound
from ..graph import Block, Deform, Operator, Table, Tensor
from .convolution import numbers, pixels
from .onnx_file import Node
from .operands import Operands
from .product import INT32_MAX, Product, multiply
from .values import Constant, Index, Names, Pending, View, fit, rectangle

_EXACT = 1e-4  # of a step, that real numbers of float32 may be off


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """What offsets may be changed to. bound: pixels from the centre of a kernel within which its taps are kept; None: where they are.
    fraction: bits behind the point to which they are rounded; None: they must be exact with FRACTION_BITS."""

    bound: int | None = None
    fraction: int | None = None


EXACT = Offsets()


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread(Pending):
    """One offset for each pixel, [B, 1, H, W], times ``steps``, [C], a number for each channel of the result. Only DeformConv takes it."""

    node: Node
    of: View
    steps: NDArray[np.float64]

    @property
    def size(self) -> int:
        return self.of.index.size * len(self.steps)

    def layouts(self) -> list[Index]:
        return [np.arange(self.size).reshape(-1, 1)]

    def operator(self, name: str, out: Tensor, place: Index) -> Operator:
        raise ValueError("numbers for each channel can only be multiplied with a map of one channel where DeformConv takes them as offsets")


def spread(node: Node, operands: Operands) -> View:
    """A Mul whose result is the offsets of DeformConv. Raises ValueError unless it is a map of one channel by a constant of channels."""
    slot = 1 if isinstance(operands.value(node, 0), Constant) else 0
    value, steps = operands.value(node, slot), operands.finite(node, 1 - slot)
    if not isinstance(value, View) or len(value.shape) != 4 or value.shape[1] != 1 or steps is None:
        raise ValueError("offsets must be a map of one channel times a constant with a number for each offset")
    if steps.array.size != steps.array.shape[-3] or steps.array.ndim not in (3, 4):
        raise ValueError(f"the constant {steps.name} {list(steps.shape)} must have a number for each offset")
    source = Spread(node=node, of=value, steps=steps.array.reshape(-1).astype(np.float64))
    batch, _, height, width = value.shape
    return View(source=source, index=np.arange(source.size).reshape(batch, len(source.steps), height, width))


@dataclass(frozen=True, kw_only=True, eq=False)
class Deformed(Pending):
    """``relu(deform(a, offsets, masks, b) + bias)``; element (pixel, c) has the number pixel * C + c. scales: of the sums, [C]."""

    node: Node
    a: Block
    b: Tensor
    deformation: Deformation
    offsets: Block | None
    masks: Block | None
    scales: NDArray[np.float64]
    bias: NDArray[np.float64]
    relu: bool = False

    @property
    def size(self) -> int:
        return self.deformation.lines * self.deformation.columns * self.a.cols

    def layouts(self) -> list[Index]:
        return [np.arange(self.size).reshape(-1, self.a.cols)]

    def operator(self, name: str, out: Tensor, place: Index) -> Deform:
        block = rectangle(out, place.reshape(-1, self.a.cols))
        if block is None:
            raise ValueError(f"its results are no rectangle of the stored tensor {out}")
        return _operator(name, self, block)


def _operator(name: str, d: Deformed, out: Block) -> Deform:
    """Raises ValueError where its scales or sums don't fit."""
    parameters = fit(
        MatMulParameters.from_scales,
        a_scale=1.0,
        a_zero_point=d.a.tensor.zero_point,
        b_scale=d.scales,
        b_zero_point=0,
        bias=d.bias,
        out_scale=out.tensor.scale,
        out_zero_point=out.tensor.zero_point,
        out=out.tensor.format,
        channels=d.a.cols,
        relu=d.relu,
    )
    assert d.b.data is not None
    most = 1 << SAMPLE_BITS if d.deformation.fractional else 1
    reach = most * accumulator_bound(d.b.data.T, 0, d.a.tensor.zero_point, -(-np.abs(parameters.bias) // most))
    if reach > INT32_MAX:
        raise ValueError(f"its accumulator can reach {reach}, more than int32 holds")
    return Deform(
        name=name,
        node=d.node.name,
        a=d.a,
        b=d.b.whole,
        out=out,
        deformation=d.deformation,
        parameters=parameters,
        offsets=d.offsets,
        masks=d.masks,
    )


def deformed(node: Node, operands: Operands, allowed: Offsets, operator_names: Names) -> tuple[View, list[Operator]]:
    """The result of a DeformConv, and the operators before it. Raises ValueError where the machine can't do the same."""
    x, weights, bias = operands.view(node, 0), operands.constant(node, 1), operands.finite(node, 3)
    if weights is None or weights.quantized is None or len(weights.shape) != 4 or x.shape[0] != 1:
        raise ValueError("only 2-D convolution of one map with constant quantized weights is supported")
    (n, _, kh, kw), (_, channels, height, width) = weights.shape, x.shape
    groups, offset_groups = (int(node.attributes.get(name, 1)) for name in ("group", "offset_group"))
    if kh != kw or kh not in (3, 5):
        raise ValueError(f"only kernels of 3 x 3 and 5 x 5 are supported, not of {kh} x {kw}")
    if offset_groups != 1:
        raise ValueError(f"offset_group must be 1, not {offset_groups}")
    if groups not in (1, channels) or (groups > 1 and n != channels):
        raise ValueError(f"groups must be 1, or as many as channels with one result each, not {groups}")
    a = _map(x)
    deformation, offsets, masks, before, mask_scale = _deformation(node, operands, allowed, kh, (height, width), operator_names)
    result = operands.value(node, 2).shape[2:]
    scale = x.scale * (mask_scale if deformation.masked else 2.0**-SAMPLE_BITS if deformation.fractional else 1.0)
    quantized = weights.quantized
    if (quantized.zero_point != 0).any():
        raise ValueError(f"the zero point of its weights {weights.name} must be 0")
    of_it = {"node": node, "a": a, "deformation": deformation, "offsets": offsets, "masks": masks}
    if groups == 1:
        return _full(of_it, operands, weights, bias, scale, operator_names, before, result)
    by_channel = quantized.scale.reshape(n, -1)
    if (by_channel != by_channel[:, :1]).any():
        raise ValueError(f"its weights {weights.name} must have one scale, or one per output channel")
    data = quantized.data.reshape(n, -1).astype(np.int8)
    b = Tensor(name=operands.names.unique(weights.name), rows=n, cols=kh * kw, bits=quantized.bits, scale=1.0, zero_point=0, data=data)
    real = np.zeros(n) if bias is None else bias.array.reshape(n).astype(np.float64)
    source = Deformed(**of_it, b=b, scales=scale * by_channel[:, 0], bias=real)
    return View(source=source, index=np.arange(source.size).reshape(*result, channels).transpose(2, 0, 1)[None]), before


def _map(view: View, name: str = "operand") -> Block:
    """[1, C, H, W] as rows of pixels."""
    source = view.source
    assert isinstance(source, Tensor)
    block = rectangle(source, pixels(view.index)[0])
    if block is None:
        raise ValueError(f"the pixels of its {name} are not rows of the stored tensor {source}")
    return block


def _full(
    of_it: dict,
    operands: Operands,
    weights: Constant,
    bias: Constant | None,
    scale: float,
    names: Names,
    before: list[Operator],
    result: tuple,
) -> tuple[View, list[Operator]]:
    """Of a kernel over all channels: the samples of each tap, rounded as the map is quantized, then their product with the weights."""
    node, a, deformation = of_it["node"], of_it["a"], of_it["deformation"]
    taps, tensor, count = deformation.taps, a.tensor, deformation.lines * deformation.columns
    samples = Tensor(
        name=operands.names.unique(f"{node.name}.samples"),
        rows=count,
        cols=taps * a.cols,
        bits=8,
        scale=tensor.scale,
        zero_point=tensor.zero_point,
    )
    for t in range(taps):
        data = np.zeros((a.cols, taps), np.int8)
        data[:, t] = 1
        b = Tensor(name=operands.names.unique(f"{node.name}.tap"), rows=a.cols, cols=taps, bits=2, scale=1.0, zero_point=0, data=data)
        one = Deformed(**of_it, b=b, scales=np.full(a.cols, scale), bias=np.zeros(a.cols))
        out = Block(tensor=samples, row=0, col=t * a.cols, rows=count, cols=a.cols)
        before.append(_operator(names.unique(f"{node.name}.tap"), one, out))
    index = np.arange(count * samples.cols).reshape(1, count, -1)
    matrix = weights.moved(lambda w: w.transpose(0, 2, 3, 1).reshape(len(w), -1).T)
    value = multiply(node, View(source=samples, index=index, scale=tensor.scale), matrix, operands.names)
    product = value.source
    assert isinstance(product, Product)
    if bias is not None:
        product = replace(product, bias=bias.array.reshape(-1).astype(np.float64))
    index = value.index.reshape(*result, -1).transpose(2, 0, 1)[None]
    return View(source=product, index=index), before


def _deformation(
    node: Node, operands: Operands, allowed: Offsets, kernel: int, size: tuple[int, int], names: Names
) -> tuple[Deformation, Block | None, Block | None, list[Operator], float]:
    """What the node's attributes, offsets and masks are; the offsets, the masks, operators that make them, and the masks' scale."""
    (s_y, s_x), (d_y, d_x) = (numbers(node, name, [1, 1]) for name in ("strides", "dilations"))
    above, left, _, _ = numbers(node, "pads", [0] * 4)
    if d_y != d_x or not {s_y, s_x} <= {1, 2}:
        raise ValueError(f"strides must be 1 or 2, not {[s_y, s_x]}, and dilations one number, not {[d_y, d_x]}")
    value, centre = operands.value(node, 2), kernel // 2
    if not isinstance(value, View) or value.integers is not None or len(value.shape) != 4 or value.shape[:2] != (1, 2 * kernel**2):
        raise ValueError(f"its offsets must be dequantized, [1, {2 * kernel**2}, lines, columns], not {list(value.shape)}")
    form, view, factor = Form.FREE, value, 1.0
    if isinstance(value.source, Spread):
        form, view = Form.SQUARE, value.source.of
        factor = _square(value.source.steps, kernel)
    if not isinstance(view.source, Tensor):
        raise ValueError(f"its offsets {node.inputs[2]} are not quantized: they need QuantizeLinear and DequantizeLinear")
    most = None if allowed.bound is None else allowed.bound / centre if form is Form.SQUARE else allowed.bound - centre * d_y
    if most is not None and most < 0:
        raise ValueError(f"an offset bound of {allowed.bound} is less than its dilation of {d_y} needs")
    base = d_y if form is Form.SQUARE else 0
    limits = (-np.inf, np.inf) if most is None else (-most - base, most - base)
    offsets, before, about = _offsets(view, factor, limits, allowed.fraction, operands, names, node)
    mask_about, masks, mask_scale = {}, None, 1.0
    if len(node.inputs) > 4 and node.inputs[4]:
        mask = operands.view(node, 4)
        assert isinstance(mask.source, Tensor)
        if mask.source.bits != 8 or mask.shape != (1, kernel**2, *value.shape[2:]):
            raise ValueError(f"its mask must be int8 or uint8, [1, {kernel**2}, lines, columns], not {mask.source} {list(mask.shape)}")
        masks, mask_scale = _map(mask, "mask"), mask.scale
        mask_about = {"masked": True, "mask_zero_point": mask.source.zero_point}
    deformation = Deformation(
        height=size[0],
        width=size[1],
        lines=value.shape[2],
        columns=value.shape[3],
        kernel=kernel,
        y_start=centre * d_y - above,
        x_start=centre * d_y - left,
        strides=(s_y, s_x),
        dilation=d_y,
        form=form,
        **about,
        **mask_about,
    )
    return deformation, offsets, masks, before, mask_scale


def _square(steps: NDArray[np.float64], kernel: int) -> float:
    """What an offset is multiplied with, for taps one step from the centre. Raises ValueError where these make no square."""
    along = np.arange(kernel) - kernel // 2
    grid = np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1)
    factor = steps[-1] / grid[-1] if steps.size == grid.size else 0.0
    if factor <= 0 or not np.allclose(steps, grid * factor, atol=_EXACT * factor):
        raise ValueError("a map of one channel must be multiplied with the places of the kernel's taps, along y and x, from its centre")
    return factor


def _offsets(
    view: View, factor: float, limits: tuple[float, float], fraction: int | None, operands: Operands, names: Names, node: Node
) -> tuple[Block, list[Operator], dict[str, int]]:
    """Offsets of what a view stands for, times a factor: where they are stored, what makes them, and how they are read. Raises ValueError
    where they can't be exact and may not be rounded."""
    tensor, block = view.source, _map(view, "offsets")
    assert isinstance(tensor, Tensor)
    codes = np.arange(tensor.format.min, tensor.format.max + 1)
    real = (codes - tensor.zero_point) * view.scale if view.function is None else view.function.numbers.astype(np.float64)
    real = np.clip(real * factor, *limits)
    if np.isnan(real).any():
        raise ValueError("an offset is not a number")
    bits = fraction
    if bits is None:
        exact = (n for n in range(FRACTION_BITS + 1) if np.abs(real * 2**n - np.rint(real * 2**n)).max() < _EXACT * 2**n)
        bits = next(exact, None)
    if bits is None:
        steps, rounded = np.diff(np.unique(real)).min(), 2.0 ** -(FRACTION_BITS + 1)
        raise ValueError(
            f"its offsets have steps of {steps:.5g} pixels, but only 1, 1/2, 1/4, 1/8 and 1/16 are exact: "
            f"--offset-round {FRACTION_BITS} moves them by up to {rounded:g}, --offset-round 0 by up to 0.5"
        )
    wanted = np.rint(real * 2**bits).astype(np.int64)
    low, high = int(wanted.min()), int(wanted.max())
    inner = (wanted > low) & (wanted < high)
    at = int(np.flatnonzero(inner if inner.any() else wanted == high)[0])
    zero_point = int(codes[at] - wanted[at])
    if np.array_equal(wanted, np.clip(codes - zero_point, low, high)):
        return block, [], {"fraction": bits, "offset_zero_point": zero_point, "offset_low": low, "offset_high": high}
    if tensor.bits != 8:
        raise ValueError(f"offsets of {tensor.bits} bits must have steps of 1, 1/2, 1/4, 1/8 or 1/16")
    return (*_table(block, wanted, operands, names, node), {"fraction": bits, "offset_low": low, "offset_high": high})


def _table(block: Block, entries: Iterable[int], operands: Operands, names: Names, node: Node) -> tuple[Block, list[Operator]]:
    """The block with an entry for each number."""
    entries = tuple(int(entry) for entry in entries)
    fits: Callable[[Format], bool] = lambda form: form.min <= min(entries) <= max(entries) <= form.max  # noqa: E731
    out = Tensor(
        name=operands.names.unique(f"{node.name}.offsets"),
        rows=block.rows,
        cols=block.cols,
        bits=(INT8 if fits(INT8) else INT16).bits,
        scale=1.0,
        zero_point=0,
    )
    parameters = ActivationTable(entries)
    return out.whole, [Table(name=names.unique(f"{node.name}.offsets"), node=node.name, a=block, out=out.whole, parameters=parameters)]
