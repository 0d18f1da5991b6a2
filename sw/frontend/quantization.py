"""QuantizeLinear and DequantizeLinear: their parameters, and their effect on constants."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from typing_extensions import Self

from ...rtl.arch.formats import Format
from ..executor import quantize, signed_offset
from ..graph import Tensor
from .onnx_file import Node, element_type
from .values import Constant, Quantized

ACTIVATION_TYPES = ("int8", "uint8", "int16", "uint16")


@dataclass(frozen=True)
class Storage:
    """How a signed tensor stands for real numbers."""

    scale: float
    zero_point: int
    bits: int

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        rows, cols = shape
        return Tensor(name=name, rows=rows, cols=cols, bits=self.bits, scale=self.scale, zero_point=self.zero_point)


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantization:
    """Of one QuantizeLinear or DequantizeLinear. scale, zero_point: scalars, or vectors along ``axis``, or one for each block of ``block``
    elements along it. dtype: ONNX's integer type."""

    scale: NDArray[np.float64]
    zero_point: NDArray[np.int64]
    dtype: np.dtype
    axis: int
    block: int

    @classmethod
    def of(cls, node: Node, scale: NDArray | None, zero_point: NDArray | None, dtype: np.dtype | None) -> Self:
        """dtype: of the integers where no zero point says it. Raises ValueError on parameters that make no sense."""
        if scale is None:
            raise ValueError("its scale must be a constant")
        bad = scale[~(np.isfinite(scale) & (scale > 0))]
        if bad.size:
            raise ValueError(f"its scale {node.inputs[1]} must be positive and finite, not {bad.flat[0]}")
        if zero_point is None:
            kind = node.attributes.get("output_dtype", 0) if node.op_type == "QuantizeLinear" else 0
            if kind:
                dtype = _activation_type(kind)
            zero_point = np.zeros(scale.shape, dtype or np.uint8)
        try:
            Format.of(zero_point.dtype.name)
        except ValueError:
            raise ValueError(f"its integers must be of an integer type, not {zero_point.dtype}") from None
        if zero_point.shape != scale.shape and zero_point.size != 1:
            raise ValueError(f"its zero point must have the shape {list(scale.shape)}, not {list(zero_point.shape)}")
        shape = () if scale.size == 1 else scale.shape
        one = zero_point.reshape(shape if zero_point.size == scale.size else ())
        return cls(
            scale=scale.astype(np.float64).reshape(shape),
            zero_point=np.broadcast_to(one.astype(np.int64), shape),
            dtype=zero_point.dtype,
            axis=node.attributes.get("axis", 1),
            block=node.attributes.get("block_size", 0),
        )

    def storage(self) -> Storage:
        """Of an activation. Raises ValueError where activations can't be quantized so."""
        if self.scale.ndim:
            raise ValueError("activations must have one scale, not one per channel or block")
        if self.dtype.name not in ACTIVATION_TYPES:
            raise ValueError(f"activations must be one of {', '.join(ACTIVATION_TYPES)}, not {self.dtype}")
        return Storage(self.scale.item(), self.zero_point.item() + signed_offset(self.dtype), self.format.bits)

    @property
    def format(self) -> Format:
        return Format.of(self.dtype.name)

    def _along(self, shape: tuple[int, ...]) -> tuple[NDArray, NDArray]:
        """Scale and zero point for each element of a constant."""
        if not self.scale.ndim:
            return np.broadcast_to(self.scale, shape), np.broadcast_to(self.zero_point, shape)
        axis = self.axis + len(shape) if self.axis < 0 else self.axis
        if self.block:
            if self.scale.shape != tuple(-(-size // self.block) if i == axis else size for i, size in enumerate(shape)):
                raise ValueError(
                    f"its {list(self.scale.shape)} scales don't fit blocks of {self.block} along axis {self.axis} of {list(shape)}"
                )
            scale, zero_point = (np.repeat(x, self.block, axis).take(range(shape[axis]), axis) for x in (self.scale, self.zero_point))
            return scale, zero_point
        if self.scale.ndim != 1 or axis >= len(shape) or len(self.scale) != shape[axis]:
            raise ValueError(f"its {list(self.scale.shape)} scales don't fit axis {self.axis} of {list(shape)}")
        line = [-1 if i == axis else 1 for i in range(len(shape))]
        return np.broadcast_to(self.scale.reshape(line), shape), np.broadcast_to(self.zero_point.reshape(line), shape)

    def dequantized(self, constant: Constant) -> Constant:
        """DequantizeLinear of constant integers."""
        if constant.array.dtype != self.dtype:
            raise ValueError(f"its zero point is {self.dtype}, but {constant.name} is {constant.array.dtype}")
        scale, zero_point = self._along(constant.shape)
        data, offset = constant.array.astype(np.int64), signed_offset(self.dtype)
        quantized = Quantized(data=data + offset, scale=scale, zero_point=zero_point + offset, bits=self.format.bits)
        return Constant(name=constant.name, array=(data - zero_point) * scale, quantized=quantized)

    def quantized(self, constant: Constant) -> Constant:
        """QuantizeLinear of a real constant."""
        scale, zero_point = self._along(constant.shape)
        if np.isnan(constant.array).any():
            raise ValueError(f"{constant.name} must hold numbers, not NaN")
        data = quantize(constant.array, scale, zero_point, self.format.min, self.format.max)
        return Constant(name=constant.name, array=data.astype(self.dtype))


def _activation_type(kind: int) -> np.dtype:
    if element_type(kind).lower() not in ACTIVATION_TYPES:
        raise ValueError(f"its type {element_type(kind)} is not supported: activations must be {', '.join(ACTIVATION_TYPES)}")
    return onnx.helper.tensor_dtype_to_np_dtype(kind)
