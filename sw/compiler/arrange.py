"""Channels in another order: tensors that are joined, shuffled, or of which some channels are taken.

No engine moves single channels, and none has to: a product makes its channels in any order, and takes them in any. So each product whose
results are arranged becomes one for each tensor that wants some of them, and writes these there, side by side, filled up to whole words by
channels without weights. What reads such a tensor has its weights along K in that order, and none for what fills up; channel by channel it
makes results in that order. Results of anything else are taken by a product that multiplies each with one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from ..golden.matmul import MatMulParameters
from ..golden.requantize import Int
from .errors import CompileError


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    """Where the columns of a tensor lie in the ``tensor`` that takes its place: itself where they may not move."""

    tensor: ir.Tensor
    columns: Int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """Columns of a tensor that lie side by side in ``out``, which may be wider."""

    columns: Int
    out: ir.Block


def arrange(graph: ir.Graph, parameters: MachineParameters) -> ir.Graph:
    """The same network without Arrange. Raises CompileError where no product can write what one of its readers needs."""
    return _Arranger(graph, parameters).graph() if any(isinstance(op, ir.Arrange) for op in graph.operators) else graph


class _Arranger:
    def __init__(self, graph: ir.Graph, parameters: MachineParameters) -> None:
        self._graph, self._word = graph, parameters.word_bytes
        self._outputs = {port.tensor for port in graph.outputs}
        self._readers: dict[ir.Tensor, list[ir.Operator]] = {tensor: [] for tensor in graph.tensors.values()}
        self._writers: dict[ir.Tensor, list[ir.Operator]] = {tensor: [] for tensor in graph.tensors.values()}
        for op in graph.operators:
            for tensor in {block.tensor for block in op.inputs}:
                self._readers[tensor].append(op)
            for tensor in {block.tensor for block in op.outputs}:
                self._writers[tensor].append(op)
        self._places: dict[ir.Tensor, _Place] = {}
        self._parts: dict[ir.Tensor, list[_Part]] = {}  # that are wanted of a tensor that no Arrange makes
        self._wanted: dict[ir.Tensor, list[tuple[ir.Tensor, _Part]]] = {}  # the same, by the tensor that they are for
        origins: dict[ir.Tensor, list[tuple[ir.Tensor, int]]] = {}
        for op in graph.operators:
            if isinstance(op, ir.Arrange):
                known = [(block.tensor, col) for block in op.sources for col in range(block.col, block.col + block.cols)]
                traced = [origins[tensor][col] if tensor in origins else (tensor, col) for tensor, col in known]
                origins[op.out.tensor] = [traced[col] for col in op.columns]
                if self._is_read(op.out.tensor):
                    self._place(op, origins[op.out.tensor])

    def graph(self) -> ir.Graph:
        operators = tuple(made for op in self._graph.operators for made in self._operators(op))
        blocks = [block.tensor for op in operators for block in (*op.inputs, *op.outputs)]
        tensors = {tensor.name: tensor for tensor in (*blocks, *(port.tensor for port in self._graph.inputs))}
        layers = {name: port for name, port in self._graph.layers.items() if tensors.get(name) is port.tensor}
        return replace(self._graph, operators=operators, tensors=tensors, layers=layers)

    def _is_read(self, tensor: ir.Tensor) -> bool:
        """By anything that arranges no channels."""
        return tensor in self._outputs or any(not isinstance(op, ir.Arrange) for op in self._readers[tensor])

    def _place(self, op: ir.Arrange, origins: Sequence[tuple[ir.Tensor, int]]) -> None:
        """Choose where the channels of an arranged tensor lie."""
        target, first, parts = op.out.tensor, 0, list[tuple[ir.Tensor, list[int]]]()
        free = self._may_move(target)
        if free:
            for origin in dict.fromkeys(tensor for tensor, _ in origins):
                parts.append((origin, [col for col, (tensor, _) in enumerate(origins) if tensor is origin]))
        else:
            parts = [(origin, [col for col, _ in run]) for origin, run in groupby(enumerate(origins), key=lambda column: column[1][0])]
            if len(parts) > len({origin for origin, _ in parts}):
                raise CompileError(
                    f"{op.node}: not all that reads {target} can take its channels in the order in which products write them"
                )
        widths = [-(-len(cols) // self._word) * self._word if free else len(cols) for _, cols in parts]
        tensor, columns = replace(target, cols=sum(widths)) if free else target, np.zeros(target.cols, np.int64)
        self._places[target] = _Place(tensor=tensor, columns=columns)
        for (origin, cols), width in zip(parts, widths, strict=True):
            columns[cols] = first + np.arange(len(cols))
            out = ir.Block(tensor=tensor, row=0, col=first, rows=tensor.rows, cols=width)
            part = _Part(columns=np.array([origins[col][1] for col in cols]), out=out)
            self._parts.setdefault(origin, []).append(part)
            self._wanted.setdefault(target, []).append((origin, part))
            first += width

    def _may_move(self, tensor: ir.Tensor) -> bool:
        """Whether the columns of a tensor may lie in any order, with others between them."""
        return tensor not in self._outputs and all(isinstance(op, ir.Arrange) or self._takes(op, tensor) for op in self._readers[tensor])

    def _takes(self, op: ir.Operator, tensor: ir.Tensor) -> bool:
        if sum(block.tensor is tensor for block in op.inputs) > 1 or len(op.outputs) > 1 or op.when:
            return False
        if isinstance(op, ir.MatMul):
            part = op.parts[0]
            simple = part.a.tensor is tensor and part.a.is_whole and _is_plain(op)
            return simple and (not _by_channel(op) or (op.residual is None and part.out.is_whole and self._may_move(part.out.tensor)))
        if isinstance(op, ir.Table | ir.Rescale | ir.Gelu):
            return op.a.is_whole and op.out.is_whole and self._may_move(op.out.tensor)
        return False

    def _splits(self, tensor: ir.Tensor) -> bool:
        """Whether it is made by a product that can make some of its channels alone."""
        writers = self._writers[tensor]
        if len(writers) != 1 or not isinstance(op := writers[0], ir.MatMul):
            return False
        in_groups = op.window is not None and op.window.groups > 1
        return _is_plain(op) and not in_groups and op.residual is None and op.parts[0].out.is_whole

    def _operators(self, op: ir.Operator) -> Iterator[ir.Operator]:
        """What takes the place of an operator."""
        if isinstance(op, ir.Arrange):
            for i, (origin, part) in enumerate(self._wanted.get(op.out.tensor, ())):
                if not self._splits(origin):
                    yield self._taken(op, i, origin, part)
            return
        moved = [tensor for block in op.inputs if (tensor := block.tensor) in self._places and self._places[tensor].tensor is not tensor]
        op = self._moved(op, self._places[moved[0]]) if moved else op
        for tensor in {block.tensor for block in op.outputs} & self._parts.keys():
            if self._splits(tensor):
                assert isinstance(op, ir.MatMul)
                yield from (_part_of(op, i, part) for i, part in enumerate(self._parts[tensor]))
                if not self._is_read(tensor):
                    return
        yield op

    def _moved(self, op: ir.Operator, place: _Place) -> ir.Operator:
        """With an operand at another place."""
        if not isinstance(op, ir.MatMul):
            out = self._follows(op.outputs[0].tensor, place)
            return replace(op, a=place.tensor.whole, out=out.whole)  # pyright: ignore[reportCallIssue] - what `_takes` lets through
        part = op.parts[0]
        weights = _weights(part.b)
        zero = part.b.tensor.zero_point
        if not _by_channel(op):
            taps = weights.reshape(len(weights), -1, len(place.columns))
            data = np.full((*taps.shape[:2], place.tensor.cols), zero, weights.dtype)
            data[:, :, place.columns] = taps
            b = _constant(op, "moved", part.b.tensor, data.reshape(len(weights), -1))
            return replace(op, parts=(replace(part, a=place.tensor.whole, b=b.whole),))
        assert op.window
        data = np.full((place.tensor.cols, weights.shape[1]), 1 if op.maximum else zero, weights.dtype)
        data[place.columns] = weights
        part = ir.MatMulPart(
            a=place.tensor.whole,
            b=_constant(op, "moved", part.b.tensor, data).whole,
            out=self._follows(part.out.tensor, place).whole,
        )
        channels = _spread(op.parameters, place.columns, place.tensor.cols)
        return replace(op, parts=(part,), window=replace(op.window, groups=place.tensor.cols), parameters=channels)

    def _follows(self, tensor: ir.Tensor, place: _Place) -> ir.Tensor:
        """The tensor that takes the place of one whose columns lie as those of another one do."""
        out = replace(tensor, cols=place.tensor.cols)
        self._places[tensor] = _Place(tensor=out, columns=place.columns)
        return out

    def _taken(self, op: ir.Arrange, number: int, origin: ir.Tensor, part: _Part) -> ir.MatMul:
        """A product with ones that takes columns of a tensor."""
        if origin.bits != 8:
            raise CompileError(f"{op.node}: channels of {origin} must be int8 to be arranged")
        place = self._places.get(origin, _Place(tensor=origin, columns=np.arange(origin.cols)))
        data = np.zeros((part.out.cols, place.tensor.cols), np.int8)
        data[np.arange(len(part.columns)), place.columns[part.columns]] = 1
        like = ir.Tensor(name="ones", rows=1, cols=1, bits=2, scale=1.0, zero_point=0, data=np.zeros((1, 1), np.int8))
        b = _constant(op, str(number), like, data)
        parameters = MatMulParameters.from_scales(
            **{"a_scale": origin.scale, "a_zero_point": origin.zero_point, "b_scale": 1.0, "b_zero_point": 0, "bias": 0.0},
            **{"out_scale": origin.scale, "out_zero_point": origin.zero_point, "out": origin.format, "channels": part.out.cols},
        )
        parts = (ir.MatMulPart(a=place.tensor.whole, b=b.whole, out=part.out),)
        return ir.MatMul(name=f"{op.name}.{number}", node=op.node, parts=parts, b_transposed=True, parameters=parameters)


def _is_plain(op: ir.MatMul) -> bool:
    """Whether it is one product or convolution with constant weights, channel by channel perhaps."""
    window, part = op.window, op.parts[0]
    known = part.b.tensor.data is not None and op.b_transposed and len(op.parts) == 1 and not op.groups and op.shift is None
    return known and not (op.run or op.planes) and (window is None or window.groups == 1 or _by_channel(op))


def _by_channel(op: ir.MatMul) -> bool:
    return op.window is not None and op.window.groups > 1 and op.window.groups == op.parts[0].a.cols == op.parts[0].out.cols


def _weights(b: ir.Block) -> np.ndarray:
    assert b.tensor.data is not None
    return b.tensor.data[b.slices]


def _constant(op: ir.Operator, suffix: str, like: ir.Tensor, data: np.ndarray) -> ir.Tensor:
    return replace(like, name=f"{op.name}.weights.{suffix}", rows=data.shape[0], cols=data.shape[1], data=data)


def _part_of(op: ir.MatMul, number: int, part: _Part) -> ir.MatMul:
    """The product that makes some of an operator's channels, and nothing in those that fill up."""
    b = op.parts[0].b
    weights = _weights(b)
    data = np.full((part.out.cols, weights.shape[1]), b.tensor.zero_point, weights.dtype)
    data[: len(part.columns)] = weights[part.columns]
    made = replace(op.parts[0], b=_constant(op, str(number), b.tensor, data).whole, out=part.out)
    order = np.arange(len(part.columns))
    parameters = _spread(op.parameters, order, part.out.cols, part.columns)
    return replace(op, name=f"{op.name}.{number}", parts=(made,), parameters=parameters)


def _spread(parameters: MatMulParameters, places: Int, count: int, taken: Int | slice = slice(None)) -> MatMulParameters:
    """Of ``count`` channels, those that are ``taken`` at these places; the others' results are zero."""
    arrays: Mapping[str, Int] = {name: np.zeros(count, np.int64) for name in ("bias", "multiplier", "shift")}
    for name, values in arrays.items():
        values[places] = getattr(parameters, name)[taken]
    return replace(parameters, **arrays)
