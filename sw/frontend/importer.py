"""Import a QDQ network: every ONNX value becomes a view of a stored tensor, every QuantizeLinear one operator.

Operations between DequantizeLinear and QuantizeLinear are collected (`product.Product`, `rowwise.Rowwise`, `values.Function`) until the
QuantizeLinear says the scale of their result. Reshape, Transpose, Split and the like change only the order in which a view
reads its source.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..graph import Block, Graph, GraphInput, GraphOutput, Operator, Port, Tensor
from .deform import EXACT, Offsets, deformed
from .joined import Joined, alone
from .movement import MOVES
from .onnx_file import ModelError, Node, OnnxModel, Value, read
from .operands import AnyValue, Operands
from .operations import OPERATIONS
from .peaks import top
from .pointwise import Tabled, pointwise, refuse, rounded
from .product import Product
from .quantization import Quantization, Storage
from .readers import POINTWISE, Readers
from .rowwise import Rescaled
from .tokens import INDEX, NUMBER_TYPES, NUMBERS, LookedUp, gathered, largest, row_of_numbers, table_of
from .values import Constant, Index, Pending, View, inverse


def needed(operators: Sequence[Operator], outputs: Iterable[GraphOutput]) -> tuple[Operator, ...]:
    """The operators whose results are read in the end: a table of a table's results, for one, makes do without it."""
    read, kept = {port.tensor for port in outputs}, []
    for operator in reversed(operators):
        if any(block.tensor in read for block in operator.outputs):
            kept.append(operator)
            read |= {block.tensor for block in operator.inputs}
    return tuple(reversed(kept))


class Importer:
    """One import: walks the nodes in order and collects the graph's inputs, operators and layers."""

    def __init__(self, model: OnnxModel, offsets: Offsets):
        self.model, self.offsets = model, offsets
        self.readers = Readers(model)
        self.operands = Operands(model, self.readers)
        self.inputs: list[GraphInput] = []
        self.layers: dict[str, Port] = {}
        self.quantized: dict[tuple[str, Storage], View] = {}
        self.numbers: dict[str, GraphInput] = {}

    def run(self) -> Graph:
        """Raises ModelError."""
        for node in self.model.nodes:
            try:
                self.operands.values.update(zip(node.outputs, self.visit(node), strict=False))
            except ModelError:
                raise
            except (ValueError, IndexError) as error:
                raise self.located(node, error) from error
        outputs = tuple(self.output(name) for name in self.model.outputs)
        operators = needed(self.operands.operators, outputs)
        blocks = [b for operator in operators for b in (*operator.inputs, *operator.outputs)]
        tensors = {t.name: t for t in [port.tensor for port in self.inputs] + [b.tensor for b in blocks]}
        return Graph(
            inputs=tuple(self.inputs),
            outputs=outputs,
            operators=operators,
            tensors=tensors,
            layers={name: layer for name, layer in self.layers.items() if name in tensors},
        )

    def located(self, node: Node, error: Exception) -> ModelError:
        """The reason with the node's name, operator and operand shapes."""
        known = (self.operands.values.get(name) for name in node.inputs if name)
        shapes = ", ".join("?" if value is None else str(list(value.shape)) for value in known)
        return ModelError(f"{node.title} of {shapes}: {error}")

    def visit(self, node: Node) -> list[AnyValue]:
        """The values of the node's outputs, or of the first ones."""
        function = pointwise(node, self.operands) if node.op_type in POINTWISE else None
        if function:
            return [function]
        if node.op_type in OPERATIONS:
            return [OPERATIONS[node.op_type](node, self.operands)]
        if node.op_type in POINTWISE:
            raise refuse(node, self.operands)
        if node.op_type == "QuantizeLinear":
            return [self.quantize(node)]
        if node.op_type == "DequantizeLinear":
            return [self.dequantize(node)]
        if node.op_type == "DeformConv":
            return [deformed(node, self.operands, self.offsets)]
        if node.op_type == "ArgMax":
            return [self.argmax(node)]
        if node.op_type == "TopK":
            return [*top(node, self.operands)]
        if node.op_type == "Gather" and isinstance(self.operands.value(node, 1), View):
            return [self.look_up(node)]
        if node.op_type not in MOVES:
            raise ValueError("the operator is not supported")
        move, value = MOVES[node.op_type], self.operands.value(node, 0)
        return [
            value.moved(lambda x, part=part: move(node, self.readers.integers, x)[part])
            for part in range(len(move(node, self.readers.integers, np.empty(value.shape, bool))))
        ]

    def quantization(self, node: Node, integers: np.dtype | None = None) -> Quantization:
        scale, zero_point = self.operands.constant(node, 1), self.operands.constant(node, 2)
        return Quantization.of(node, scale and scale.array, zero_point and zero_point.array, integers)

    def dequantize(self, node: Node) -> AnyValue:
        value = self.operands.value(node, 0)
        if isinstance(value, Constant):
            return self.quantization(node, value.array.dtype).dequantized(value)
        q = self.quantization(node, value.integers)
        if value.integers != q.dtype:
            raise ValueError(f"its input {node.inputs[0]} must be {q.dtype}, not {value.integers or 'real numbers'}")
        storage = q.storage()
        if isinstance(value.source, Value):
            value = self.store_input(node.outputs[0], value.source, value.index, storage)
        if not isinstance(value.source, Tensor) or value.source.zero_point != storage.zero_point:
            raise ValueError("its zero point differs from that of QuantizeLinear")
        return replace(value, scale=storage.scale, integers=None)

    def quantize(self, node: Node) -> AnyValue:
        q, value = self.quantization(node), self.operands.value(node, 0)
        if isinstance(value, Constant):
            return q.quantized(value)
        if value.integers is not None:
            raise ValueError("its input is quantized already")
        storage, source = q.storage(), value.source
        if isinstance(source, Tensor) and value.linear and storage == Storage(value.scale, source.zero_point, source.bits):
            return replace(value, integers=q.dtype, function=None)
        key = node.inputs[0], storage
        if key not in self.quantized and isinstance(source, Joined):
            value = self.at_one_scale(node, alone(value), q, storage)
        if key not in self.quantized:
            if isinstance(source, Value):
                self.quantized[key] = self.store_input(node.outputs[0], source, value.index, storage)
            else:
                if isinstance(source, Tensor):
                    value = Rescaled.of(node, value) if value.linear else Tabled.of(value)
                self.quantized[key] = self.store_result(node, value, q.dtype, storage)
        return replace(self.quantized[key], integers=q.dtype)

    def at_one_scale(self, node: Node, value: View, q: Quantization, storage: Storage) -> View:
        """Joined tensors, each taken whole to the scale that ``node`` says."""
        joined, found = value.source, dict[tuple[object, ...], View]()
        assert isinstance(joined, Joined)

        def stored(part: View) -> View:
            source, key = part.source, (part.source, part.scale, part.function)
            if isinstance(source, Tensor) and part.linear and storage == Storage(part.scale, source.zero_point, source.bits):
                return part
            if isinstance(source, Value):
                raise ValueError(f"its operand {source.name} is not quantized")
            if isinstance(source, Tensor) and source.bits != 8:
                raise ValueError(f"its operand {source} must be int8, or be quantized as its result is")
            if key not in found:
                size = source.rows * source.cols if isinstance(source, Tensor) else source.size
                whole = replace(part, index=np.arange(size).reshape(joined.rows, -1))
                whole = Tabled.of(rounded(node, whole)) if isinstance(source, Tensor) else whole
                found[key] = made = self.store_result(node, whole, q.dtype, storage)
                assert isinstance(made.source, Tensor)
                del self.layers[made.source.name]  # ONNX has no such value
            return replace(found[key], index=found[key].index.reshape(-1)[part.index], scale=storage.scale)

        return replace(value, source=joined.of(map(stored, joined.parts)))

    def store_input(self, result: str, source: Value, index: Index, storage: Storage) -> View:
        """The tensor of a graph input, stored as the readers of the value ``result`` want it."""
        if index.size != np.prod(source.shape, dtype=int):
            raise ValueError(f"only a part of the input {source.name} is used")
        layout = self.readers.layout(result, index, self.readers.input_layouts(result, index))
        port = self.input(source, layout, storage)
        return View(source=port.tensor, index=inverse(layout)[index])

    def input(self, source: Value, layout: Index, storage: Storage, choices: int = 0) -> GraphInput:
        port = GraphInput(
            name=source.name,
            shape=source.shape,
            dtype=source.dtype,
            tensor=storage.tensor(self.operands.names.unique(source.name), layout.shape),
            scale=storage.scale,
            zero_point=storage.zero_point,
            permutation=layout,
            choices=choices,
        )
        self.inputs.append(port)
        return port

    def look_up(self, node: Node) -> View:
        """Rows of a table or of a stored matrix by numbers, which are a row of the machine's."""
        numbers = self.operands.value(node, 1)
        assert isinstance(numbers, View)
        computed = isinstance(numbers.source, Tensor) and numbers.integers == INDEX
        if computed and isinstance(self.operands.value(node, 0), View):
            return gathered(node, numbers, self.operands)
        table = table_of(node, self.operands)
        rows = table.shape[0]
        block = row_of_numbers(node, numbers, rows, self.operands) if computed else self.given_numbers(node, numbers, rows)
        pending = LookedUp(node=node, table=table, numbers=block, names=self.operands.names)
        return View(source=pending, index=np.arange(pending.size).reshape(*numbers.shape, -1))

    def given_numbers(self, node: Node, numbers: View, rows: int) -> Block:
        """Those of an input."""
        source = numbers.source
        if not isinstance(source, Value) or str(source.dtype) not in NUMBER_TYPES:
            kinds = " or ".join(NUMBER_TYPES)
            raise ValueError(
                f"the numbers {node.inputs[1]} must be an {kinds} input of the network, or found by ArgMax, or TopK and Mod or Div"
            )
        if source.name not in self.numbers:
            natural = np.arange(np.prod(source.shape, dtype=int))[None]
            self.numbers[source.name] = self.input(source, natural, Storage(**NUMBERS), choices=rows)
        port = self.numbers[source.name]
        if port.choices != rows:
            raise ValueError(f"its table has {rows} rows, but another one by the numbers in {source.name} has {port.choices}")
        if not np.array_equal(numbers.index.reshape(1, -1), port.permutation):
            raise ValueError(f"the numbers {node.inputs[1]} must be all of the input {source.name} in its order")
        return port.tensor.whole

    def argmax(self, node: Node) -> View:
        found = largest(node, self.operands)
        assert isinstance(found.source, Tensor)
        self.add_layer(node.outputs[0], found.source, found.index, INDEX)
        return found

    def add_layer(self, name: str, tensor: Tensor, place: Index, dtype: np.dtype) -> None:
        """That the tensor holds the value of that name, element e at ``place[e]``."""
        self.layers[tensor.name] = Port(
            name=name,
            shape=place.shape,
            dtype=dtype,
            tensor=tensor,
            scale=tensor.scale,
            zero_point=tensor.zero_point,
            permutation=inverse(place).reshape(tensor.rows, tensor.cols),
        )

    def store_result(self, node: Node, value: View, dtype: np.dtype, storage: Storage) -> View:
        """The tensor and the operator of a computed value that ``node`` quantizes."""
        pending, index = value.source, value.index
        assert isinstance(pending, Pending)
        try:
            if index.size != pending.size:
                if not isinstance(pending, Product):
                    raise ValueError(f"only {index.size} of its {pending.size} results are quantized")
                pending, place = pending.restricted(index)
                index = place[index]
            layout = self.readers.layout(node.outputs[0], index, pending.layouts())
            tensor = storage.tensor(self.operands.names.unique(node.inputs[0]), layout.shape)
            place = inverse(layout)
            operator = pending.operator(self.operands.operator_names.unique(pending.node.name), tensor, place)
        except ValueError as error:
            raise self.located(pending.node, error) from error
        self.operands.add(operator)
        self.add_layer(node.outputs[0], tensor, place[index], dtype)
        return View(source=tensor, index=place[index])

    def output(self, name: str) -> GraphOutput:
        value = self.operands.values.get(name)
        if not isinstance(value, View) or not isinstance(value.source, Tensor) or not value.linear:
            raise ModelError(f"output {name} is not quantized: it needs a QuantizeLinear after its operator")
        tensor = value.source
        if value.index.size != tensor.rows * tensor.cols:
            raise ModelError(f"output {name} {list(value.shape)} is only a part of the stored tensor {tensor}")
        return GraphOutput(
            name=name,
            shape=value.shape,
            dtype=value.integers or np.dtype(np.float32),
            tensor=tensor,
            scale=value.scale,
            zero_point=tensor.zero_point,
            permutation=inverse(value.index).reshape(tensor.rows, tensor.cols),
        )


def import_model(path: Path | str, offsets: Offsets = EXACT) -> Graph:
    """The integer graph of a QDQ ONNX file. offsets: what those of DeformConv may be changed to.

    Raises
    ------
    ModelError
        If the file can't be read, is not valid, or has what can't be mapped; the message names file, node, shapes and reason.
    """
    path = Path(path)
    model = read(path)
    try:
        return Importer(model, offsets).run()
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
