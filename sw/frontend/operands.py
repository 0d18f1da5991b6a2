"""Access to a node's operands during import."""

from dataclasses import replace

import numpy as np

from ..graph import Arrange, Operator, Tensor
from .convolution import pixels
from .onnx_file import Node, OnnxModel
from .readers import Readers
from .values import Constant, Index, Names, View, columns_of, rectangle

AnyValue = Constant | View


class Operands:
    """The values known so far, by ONNX name. Every method raises ValueError with the reason, without the node's name.

    names: of the tensors made so far. operators: made so far. writers: of the tensors that these write. counts: of tensors that hold
    numbers of rows or columns, how many of these there are.
    """

    def __init__(self, model: OnnxModel, readers: Readers):
        self.model, self.readers = model, readers
        self.names, self.operator_names = Names(), Names()
        self.operators: list[Operator] = []
        self.writers: dict[Tensor, Operator] = {}
        self.counts: dict[Tensor, int] = {}
        self.arranged: dict[tuple[Tensor, tuple[int, ...]], Tensor] = {}  # by what of a tensor they are
        self.values: dict[str, AnyValue] = {n: Constant(name=n, array=a) for n, a in model.constants.items()}
        for value in model.inputs:
            index: Index = np.arange(np.prod(value.shape, dtype=int)).reshape(value.shape)
            integers = value.dtype if value.dtype.kind in "iu" else None
            self.values[value.name] = View(source=value, index=index, integers=integers)

    def add(self, operator: Operator) -> None:
        self.operators.append(operator)
        self.writers |= {block.tensor: operator for block in operator.outputs}

    def value(self, node: Node, slot: int) -> AnyValue:
        if node.inputs[slot] not in self.values:
            raise ValueError(f"its input {node.inputs[slot]} comes from an output that is not supported")
        return self.values[node.inputs[slot]]

    def constant(self, node: Node, slot: int) -> Constant | None:
        """None where the input is left out. Raises ValueError where it is computed."""
        if slot >= len(node.inputs) or not node.inputs[slot]:
            return None
        value = self.value(node, slot)
        if not isinstance(value, Constant):
            raise ValueError(f"its input {node.inputs[slot]} must be a constant")
        return value

    def finite(self, node: Node, slot: int) -> Constant | None:
        """A constant without NaN and infinity; None where the input is left out."""
        constant = self.constant(node, slot)
        if constant is not None and not np.isfinite(constant.array).all():
            raise ValueError(f"its input {constant.name} must be finite")
        return constant

    def view(self, node: Node, slot: int) -> View:
        """An input that is computed, stored and dequantized."""
        value = self.value(node, slot)
        if isinstance(value, Constant):
            raise ValueError(f"its input {node.inputs[slot]} must not be a constant")
        if value.integers is not None:
            raise ValueError(f"its input {node.inputs[slot]} is not dequantized")
        if not isinstance(value.source, Tensor) or not value.linear:
            raise ValueError(f"its input {node.inputs[slot]} is not quantized: it needs QuantizeLinear and DequantizeLinear")
        return value

    def feature_map(self, node: Node, slot: int) -> View:
        """As `view`; of a map whose channels are scattered in its tensor, one in which they are neighbours."""
        view = self.view(node, slot)
        if len(view.shape) != 4 or not isinstance(view.source, Tensor):
            return view
        rows = pixels(view.index).reshape(-1, view.shape[1])
        columns = columns_of(view.source.rows, view.source.cols, rows)
        if columns is None or rectangle(view.source, rows):
            return view
        batch, channels, height, width = view.shape
        index = np.arange(view.index.size).reshape(batch, height, width, channels).transpose(0, 3, 1, 2)
        return replace(view, source=self._arranged(node, slot, view.source, tuple(columns.tolist())), index=index)

    def _arranged(self, node: Node, slot: int, source: Tensor, columns: tuple[int, ...]) -> Tensor:
        key = source, columns
        if key not in self.arranged:
            out = replace(source, name=self.names.unique(f"{node.inputs[slot]}.arranged"), cols=len(columns))
            name = self.operator_names.unique(f"{node.name}.arranged")
            self.add(Arrange(name=name, node=node.name, sources=(source.whole,), columns=columns, out=out.whole))
            self.arranged[key] = out
        return self.arranged[key]

    def matrix(self, node: Node, slot: int) -> AnyValue:
        """A finite constant, or an input that is computed, stored and dequantized."""
        constant = self.finite(node, slot) if isinstance(self.value(node, slot), Constant) else None
        return constant or self.view(node, slot)

    def factor(self, node: Node, slot: int) -> float | None:
        """A positive constant scalar; None where the input is something else."""
        value = self.value(node, slot)
        if not isinstance(value, Constant) or value.array.size != 1:
            return None
        return positive(value.array.item(), "its factor")


def positive(value: float, what: str) -> float:
    """Raises ValueError unless ``value`` is positive and finite."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{what} must be positive and finite, not {value}")
    return float(value)
