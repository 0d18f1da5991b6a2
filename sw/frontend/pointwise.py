"""Operations on each element of one 8-bit tensor: whatever they are, together they make one table.

Such an element is one of 256 numbers, so a chain of operations is run on all of them, in float32 by onnx's own evaluator, and the
QuantizeLinear at its end makes a table of the results. What such a table gives is again a function of the first tensor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

from ..executor import quantize
from ..golden.activation import ActivationTable
from ..graph import Block, Operator, Table, Tensor
from .onnx_file import Node
from .operands import AnyValue, Operands
from .rowwise import Rowwise, covered
from .values import Constant, Function, View


def pointwise(node: Node, operands: Operands) -> View | None:
    """The node's result if it is a function of one 8-bit tensor and of constant scalars; else None, as for a residual sum."""
    inputs = [operands.value(node, slot) if name else None for slot, name in enumerate(node.inputs)]
    if not _alike(inputs):
        inputs = [_origin(node, value, operands.writers) if isinstance(value, View) else value for value in inputs]
    views = [value for value in inputs if isinstance(value, View)]
    scalars = [value for value in inputs if isinstance(value, Constant)]
    if not views or not _alike(inputs) or any(scalar.array.size != 1 for scalar in scalars):
        return None
    view = views[0]
    if not isinstance(view.source, Tensor) or view.source.bits != 8:
        return None
    if node.op_type == "Add" and not scalars and all(v.linear for v in views):
        return None
    arrays = [_numbers(value) if isinstance(value, View) else value and _scalar(value) for value in inputs]
    numbers = evaluated(node, arrays, operands.model.opset)
    factor = _factor(node, inputs)
    if factor and view.linear:
        return replace(view, scale=view.scale * factor, function=Function(node=node, numbers=numbers, linear=True))
    return replace(view, function=Function(node=node, numbers=numbers, linear=False))


def rounded(node: Node, view: View) -> View:
    """A view of an 8-bit tensor, as a function of its elements that changes none."""
    return replace(view, function=view.function or Function(node=node, numbers=_numbers(view), linear=True))


def _alike(inputs: list[AnyValue | None]) -> bool:
    """Whether the views among the inputs are of one tensor, in one order."""
    views = [value for value in inputs if isinstance(value, View)]
    return all(v.source is views[0].source and v.integers is None and np.array_equal(v.index, views[0].index) for v in views)


def _origin(node: Node, view: View, writers: Mapping[Tensor, Operator]) -> View:
    """Of a tensor that holds functions of another one's elements: the same numbers as a function of those."""
    while isinstance(view.source, Tensor) and view.integers is None and isinstance(table := writers.get(view.source), Table):
        a, entries = table.a, np.array(table.parameters.entries)
        function = Function(node=node, numbers=_numbers(view)[entries - view.source.format.min], linear=False)
        row, col = np.divmod(view.index, a.cols)
        view = View(source=a.tensor, index=(a.row + row) * a.tensor.cols + a.col + col, function=function)
    return view


def refuse(node: Node, operands: Operands) -> ValueError:
    """Why the node is no `pointwise` function."""
    for slot, name in enumerate(node.inputs):
        value = operands.value(node, slot) if name else None
        if isinstance(value, View):
            tensor = operands.view(node, slot).source
            if isinstance(tensor, Tensor) and tensor.bits != 8:
                return ValueError(f"it is supported on int8 and uint8 tensors only, not on {tensor}")
        elif value is not None and value.array.size != 1:
            return ValueError(f"its operand {value.name} {list(value.shape)} must be a scalar")
    return ValueError("its operands must be functions of one tensor")


def _scalar(constant: Constant) -> NDArray:
    return constant.array.reshape(()).astype(np.float32 if constant.array.dtype.kind == "f" else constant.array.dtype)


def _numbers(view: View) -> NDArray[np.float32]:
    """What each integer that the view's tensor can hold stands for, by DequantizeLinear and what follows it."""
    if view.function:
        return view.function.numbers
    assert isinstance(view.source, Tensor)
    return _steps(view.source).astype(np.float32) * np.float32(view.scale)


def _steps(tensor: Tensor) -> NDArray[np.int64]:
    return np.arange(tensor.format.min, tensor.format.max + 1) - tensor.zero_point


def evaluated(node: Node, arrays: Sequence[NDArray | None], opset: int) -> NDArray[np.float32]:
    names = ["" if array is None else f"input_{slot}" for slot, array in enumerate(arrays)]
    feeds = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    infos = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for name, a in feeds.items()]
    result = helper.make_tensor_value_info("result", helper.np_dtype_to_tensor_dtype(np.dtype(np.float32)), None)
    operation = helper.make_node(node.op_type, names, ["result"], **node.attributes)
    model = helper.make_model(helper.make_graph([operation], node.name, infos, [result]), opset_imports=[helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):  # infinities are numbers here, and NaN is refused where it is quantized
        (numbers,) = ReferenceEvaluator(model).run(None, feeds)
    return np.asarray(numbers, np.float32)


def _factor(node: Node, inputs: list[AnyValue | None]) -> float | None:
    """With which the node multiplies its only view, if that is all it does and the factor is positive and finite."""
    slot = 1 if isinstance(inputs[-1], Constant) else 0
    scalar = inputs[slot] if node.op_type == "Mul" or (node.op_type == "Div" and slot == 1) else None
    if not isinstance(scalar, Constant) or not 0 < scalar.array.item() < float("inf"):
        return None
    return scalar.array.item() if node.op_type == "Mul" else 1 / scalar.array.item()


@dataclass(frozen=True, kw_only=True, eq=False)
class Tabled(Rowwise):
    """Each element of ``a`` to one of 256 numbers."""

    numbers: NDArray[np.float32]

    @classmethod
    def of(cls, view: View) -> View:
        """Of a view with a function."""
        assert view.function
        a, index = covered(view)
        return View(source=cls(node=view.function.node, a=a, scale=view.scale, numbers=view.function.numbers), index=index)

    def placed(self, name: str, out: Block) -> Table:
        a, tensor = self.a.tensor, out.tensor
        wrong = np.isnan(self.numbers)
        if wrong.any():
            raise ValueError(f"its result for {_steps(a)[wrong][0] * a.scale:.5g}, which {a} can hold, is not a number")
        entries = quantize(self.numbers, tensor.scale, tensor.zero_point, tensor.format.min, tensor.format.max)
        return Table(name=name, node=self.node.name, a=self.a, out=out, parameters=ActivationTable(tuple(entries.tolist())))
