"""DeformConv: which deformation its offsets make, and whether the machine's offsets are the same."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.deform import FRACTION_BITS, SAMPLE_BITS, Form
from ...rtl.arch.formats import INT8, INT16
from ..golden.activation import ActivationTable
from ..golden.deform import Deformation
from ..golden.matmul import MatMulParameters, accumulator_bound
from ..graph import Block, Deform, MatMul, Operator, Table, Tensor
from .convolution import numbers, pixels
from .onnx_file import Node
from .operands import Operands
from .product import INT32_MAX, Product, multiply
from .values import Constant, Index, Names, Pending, View, fit, rectangle

_SAMPLE_BYTES = 1 << 17  # of the samples of a kernel over all channels, at a time
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
    """``relu(deform(a, offsets, masks, b) + bias)``; element (pixel, c) has the number pixel * C + c. scales: of the sums, [C].
    moved: as of `Deform`."""

    node: Node
    a: Block
    deformation: Deformation
    offsets: Block | None
    masks: Block | None
    scales: NDArray[np.float64]
    bias: NDArray[np.float64]
    b: Tensor | None = None
    moved: float = 0.0
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
    assert d.b
    assert d.b.data is not None
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
        moved=d.moved,
    )


def deformed(node: Node, operands: Operands, allowed: Offsets) -> View:
    """The result of a DeformConv. Raises ValueError where the machine can't do the same."""
    x, weights, bias = operands.view(node, 0), operands.constant(node, 1), operands.finite(node, 3)
    if weights is None or weights.quantized is None or len(weights.shape) != 4 or x.shape[0] != 1:
        raise ValueError("only 2-D convolution of one map with constant quantized weights is supported")
    (n, _, kh, kw), channels = weights.shape, x.shape[1]
    groups, offset_groups = (int(node.attributes.get(name, 1)) for name in ("group", "offset_group"))
    if kh != kw or kh not in (3, 5):
        raise ValueError(f"only kernels of 3 x 3 and 5 x 5 are supported, not of {kh} x {kw}")
    if offset_groups != 1:
        raise ValueError(f"offset_group must be 1, not {offset_groups}")
    if groups not in (1, channels) or (groups > 1 and n != channels):
        raise ValueError(f"groups must be 1, or as many as channels with one result each, not {groups}")
    if (weights.quantized.zero_point != 0).any():
        raise ValueError(f"the zero point of its weights {weights.name} must be 0")
    samples = _samples(node, operands, allowed, kh)
    real = np.zeros(n) if bias is None else bias.array.reshape(n).astype(np.float64)
    if groups == 1:
        matrix = weights.moved(lambda w: w.transpose(0, 2, 3, 1).reshape(len(w), -1).T)
        source = Sampled(node=node, operands=operands, samples=samples, weights=matrix, bias=real)
    else:
        source = _depthwise(samples, operands, weights, real)
    value = View(source=source, index=np.arange(source.size))
    size = samples.deformation.lines, samples.deformation.columns
    return value.moved(lambda index: index.reshape(*size, n).transpose(2, 0, 1)[None])


def _depthwise(samples: Deformed, operands: Operands, weights: Constant, bias: NDArray[np.float64]) -> Deformed:
    assert weights.quantized
    scale, data = (array.reshape(len(bias), -1) for array in (weights.quantized.scale, weights.quantized.data))
    if (scale != scale[:, :1]).any():
        raise ValueError(f"its weights {weights.name} must have one scale, or one per output channel")
    b = _weights(weights.name, operands.names, data, weights.quantized.bits)
    return replace(samples, b=b, scales=samples.scales * scale[:, 0], bias=bias)


def _weights(name: str, names: Names, data: NDArray, bits: int) -> Tensor:
    """[C, taps]"""
    channels, taps = data.shape
    data = data.astype(np.int8)
    return Tensor(name=names.unique(name), rows=channels, cols=taps, bits=bits, scale=1.0, zero_point=0, data=data)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled(Pending):
    """Of a kernel over all channels: the samples of each tap, rounded as the map is quantized, then their product with weights [K, N],
    K tap by tap. Element (pixel, n) has the number pixel * N + n. Some lines at a time, so that their samples stay on the chip.

    samples: without weights.
    """

    node: Node
    operands: Operands
    samples: Deformed
    weights: Constant
    bias: NDArray[np.float64]
    relu: bool = False

    @property
    def size(self) -> int:
        return self.samples.deformation.lines * self.samples.deformation.columns * len(self.bias)

    def layouts(self) -> list[Index]:
        return [np.arange(self.size).reshape(-1, len(self.bias))]

    def operator(self, name: str, out: Tensor, place: Index) -> MatMul:
        """The last lines' product; the operators before it are added."""
        d, a, whole = self.samples.deformation, self.samples.a, range(self.samples.deformation.columns)
        ones = _weights(f"{self.node.name}.taps", self.operands.names, np.ones((a.cols, d.taps)), 2)
        most = max(1, _SAMPLE_BYTES // (d.columns * d.taps * a.cols))
        product, places = None, place.reshape(d.lines, d.columns, -1)
        operators = list[Operator]()
        for first in range(0, d.lines, most):
            lines = range(first, min(first + most, d.lines))
            taken = self._taken(ones, *d.reads(lines, whole), slice(first * d.columns, lines.stop * d.columns))
            if product is None:
                product = self._product(taken)
            of_lines = replace(product, a=replace(product.a, blocks=(taken.whole,)), m=taken.rows)
            operators.append(of_lines.operator(name if lines.stop == d.lines else f"{name}.{first}", out, places[first : lines.stop]))
            if lines.stop < d.lines:
                self.operands.add(operators[-1])
        last = operators[-1]
        assert isinstance(last, MatMul)
        return last

    def _taken(self, ones: Tensor, rows: range, _: range, part: Deformation, pixels: slice) -> Tensor:
        """The samples of some lines."""
        a, width = self.samples.a, self.samples.deformation.width
        count = part.lines * part.columns
        taken = replace(a.tensor, name=self.operands.names.unique(f"{self.node.name}.samples"), rows=count, cols=part.taps * a.cols)

        def cut(block: Block | None) -> Block | None:
            return block and replace(block, row=block.row + pixels.start, rows=count)

        blocks = {"a": replace(a, row=a.row + rows.start * width, rows=len(rows) * width)}
        blocks |= {"offsets": cut(self.samples.offsets), "masks": cut(self.samples.masks)}
        by_tap = replace(self.samples, **blocks, deformation=replace(part, by_tap=True), b=ones)
        self.operands.add(_operator(self.operands.operator_names.unique(f"{self.node.name}.samples"), by_tap, taken.whole))
        return taken

    def _product(self, taken: Tensor) -> Product:
        view = View(source=taken, index=np.arange(taken.rows * taken.cols).reshape(1, taken.rows, -1), scale=taken.scale)
        product = multiply(self.node, view, self.weights, self.operands.names).source
        assert isinstance(product, Product)
        return replace(product, bias=self.bias, relu=self.relu)


def _map(view: View, name: str = "operand") -> Block:
    """[1, C, H, W] as rows of pixels."""
    source = view.source
    assert isinstance(source, Tensor)
    block = rectangle(source, pixels(view.index)[0])
    if block is None:
        raise ValueError(f"the pixels of its {name} are not rows of the stored tensor {source}")
    return block


def _samples(node: Node, operands: Operands, allowed: Offsets, kernel: int) -> Deformed:
    """The deformation that the node's attributes, offsets and masks make, without weights."""
    x, value, centre, taps = operands.view(node, 0), operands.value(node, 2), kernel // 2, kernel**2
    (s_y, s_x), (d_y, d_x) = (numbers(node, name, [1, 1]) for name in ("strides", "dilations"))
    above, left, _, _ = numbers(node, "pads", [0] * 4)
    if d_y != d_x or not {s_y, s_x} <= {1, 2}:
        raise ValueError(f"strides must be 1 or 2, not {[s_y, s_x]}, and dilations one number, not {[d_y, d_x]}")
    if not isinstance(value, View) or value.integers is not None or len(value.shape) != 4 or value.shape[:2] != (1, 2 * taps):
        raise ValueError(f"its offsets must be dequantized, [1, {2 * taps}, lines, columns], not {list(value.shape)}")
    form, view, factor, base = Form.FREE, value, 1.0, 0
    if isinstance(value.source, Spread):
        form, view, factor, base = Form.SQUARE, value.source.of, square_factor(value.source.steps, kernel), d_y
    if not isinstance(view.source, Tensor):
        raise ValueError(f"its offsets {node.inputs[2]} are not quantized: they need QuantizeLinear and DequantizeLinear")
    limits = -np.inf, np.inf
    if allowed.bound is not None:
        most = allowed.bound / centre if form is Form.SQUARE else allowed.bound - centre * d_y
        if most < 0:
            raise ValueError(f"an offset bound of {allowed.bound} is less than its dilation of {d_y} needs")
        limits = -most - base, most - base
    offsets, about, moved = _offsets(view, factor, limits, allowed.fraction, operands, node)
    masks, scale = None, 1.0
    if len(node.inputs) > 4 and node.inputs[4]:
        mask = operands.view(node, 4)
        masks, scale = _map(mask, "mask"), mask.scale
        if masks.tensor.bits != 8 or mask.shape != (1, taps, *value.shape[2:]):
            raise ValueError(f"its mask must be int8 or uint8, [1, {taps}, lines, columns], not {masks.tensor} {list(mask.shape)}")
        about |= {"mask_zero_point": masks.tensor.zero_point}
    deformation = Deformation(
        height=x.shape[2],
        width=x.shape[3],
        lines=value.shape[2],
        columns=value.shape[3],
        kernel=kernel,
        y_start=centre * d_y - above,
        x_start=centre * d_y - left,
        strides=(s_y, s_x),
        dilation=d_y,
        form=form,
        masked=masks is not None,
    )
    deformation = replace(deformation, **about)
    if deformation.fractional and masks is None:
        scale = 2.0**-SAMPLE_BITS
    a = _map(x)
    return Deformed(
        node=node,
        a=a,
        deformation=deformation,
        offsets=offsets,
        masks=masks,
        moved=moved,
        scales=np.full(a.cols, x.scale * scale),
        bias=np.zeros(a.cols),
    )


def square_factor(steps: NDArray[np.float64], kernel: int) -> float:
    """What an offset is multiplied with, for taps one step from the centre. Raises ValueError where these make no square."""
    along = np.arange(kernel) - kernel // 2
    grid = np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1)
    factor = steps[-1] / grid[-1] if steps.size == grid.size else 0.0
    if factor <= 0 or not np.allclose(steps, grid * factor, atol=_EXACT * factor):
        raise ValueError("a map of one channel must be multiplied with the places of the kernel's taps, along y and x, from its centre")
    return factor


def _offsets(
    view: View, factor: float, limits: tuple[float, float], fraction: int | None, operands: Operands, node: Node
) -> tuple[Block, dict[str, int], float]:
    """Offsets of what a view stands for, times a factor: where they are stored, how they are read, and by how much they are changed, in
    pixels, at most. Raises ValueError where they can't be exact and may not be rounded."""
    tensor, block = view.source, _map(view, "offsets")
    assert isinstance(tensor, Tensor)
    codes = np.arange(tensor.format.min, tensor.format.max + 1)
    real = (codes - tensor.zero_point) * view.scale if view.function is None else view.function.numbers.astype(np.float64)
    said = real * factor
    if np.isnan(said).any():
        raise ValueError("an offset is not a number")
    real = np.clip(said, *limits)
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
    low, high, moved = int(wanted.min()), int(wanted.max()), float(np.abs(wanted / 2**bits - said).max())
    moved = moved if moved > _EXACT else 0.0
    inner = (wanted > low) & (wanted < high)
    at = int(np.flatnonzero(inner if inner.any() else wanted == high)[0])
    zero_point = int(codes[at] - wanted[at])
    if np.array_equal(wanted, np.clip(codes - zero_point, low, high)):
        return block, {"fraction": bits, "offset_zero_point": zero_point, "offset_low": low, "offset_high": high}, moved
    if tensor.bits != 8:
        raise ValueError(f"offsets of {tensor.bits} bits must have steps of 1, 1/2, 1/4, 1/8 or 1/16")
    return _table(block, wanted.tolist(), operands, node), {"fraction": bits, "offset_low": low, "offset_high": high}, moved


def _table(block: Block, entries: list[int], operands: Operands, node: Node) -> Block:
    """The block with an entry for each number."""
    narrow = INT8.min <= min(entries) <= max(entries) <= INT8.max
    name, parameters = operands.names.unique(f"{node.name}.offsets"), ActivationTable(tuple(entries))
    bits = (INT8 if narrow else INT16).bits
    out = Tensor(name=name, rows=block.rows, cols=block.cols, bits=bits, scale=1.0, zero_point=0).whole
    name = operands.operator_names.unique(f"{node.name}.offsets")
    operands.add(Table(name=name, node=node.name, a=block, out=out, parameters=parameters))
    return out
