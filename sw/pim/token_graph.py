"""A causal network for one token: the graph of a sequence becomes that of the token at a place, with products done by a PIM engine.

Tensors have the rows of the token alone, one or one for each head, and their names are the same for all places. Scores and probabilities
have a column for each token so far. Zero points of a product's vector are made good by its bias; that of probabilities by further sums of
the values, weighted with constants.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from ...rtl.arch.dram import ACCUMULATOR_BYTES
from ...rtl.arch.formats import INT8, INT32
from ...rtl.arch.pim import Macro
from ...rtl.arch.steps import PRODUCT
from .. import graph as ir
from ..golden.matmul import MatMulParameters
from .cache import CacheMap
from .errors import DecoderError
from .mapping import MatrixMap
from .operator import Pim, PimCommand
from .phases import is_faster, product
from .placement import Placement, matrix_of, products


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenGraphs:
    """Of a sequence's graph. in_dram: names of the products with constants that are done where these lie; the others are done by a compute
    unit."""

    graph: ir.Graph
    placement: Placement
    in_dram: frozenset[str]

    def at(self, row: int) -> ir.Graph:
        """Of the token in that row, when all before it have been. Raises DecoderError."""
        return _Token(self, row).graph()

    @cached_property
    def parameters(self) -> Mapping[str, MatMulParameters]:
        """Of the products in the DRAM with constants, by name: with the vector's zero point in the bias."""
        return {op.name: _without_zero_point(op) for op in products(self.graph) if op.name in self.in_dram}

    @cached_property
    def by_token(self) -> frozenset[str]:
        """Names of the tensors of scores and probabilities, whose columns are tokens."""
        found = {op.parts[0].out.tensor.name for op in products(self.graph) if op.name in self.placement.caches and op.b_transposed}
        for op in self.graph.operators:
            if isinstance(op, ir.RowOperator) and op.a.tensor.name in found:
                found.add(op.out.tensor.name)
        return frozenset(found)


def faster_in_dram(placement: Placement, bus_bytes: int) -> frozenset[str]:
    """Names of the products with constants that the banks do in less time than these take to a compute unit."""
    maps = placement.matrices.items()
    return frozenset(name for name, of in maps if is_faster(product(of), -(-of.m * of.k // bus_bytes)))


class _Token:
    def __init__(self, graphs: TokenGraphs, row: int) -> None:
        self._of, self._row, self._places = graphs, row, graphs.placement.tokens
        self._dram = graphs.placement.dram
        self._tensors: dict[str, ir.Tensor] = {}

    def graph(self) -> ir.Graph:
        graph = self._of.graph
        (tokens,) = graph.inputs
        number = replace(tokens.tensor, cols=1)
        self._tensors[number.name] = number
        port = replace(tokens, shape=(1,) * len(tokens.shape), tensor=number, permutation=np.zeros((1, 1), np.int64))
        operators = tuple(single for op in graph.operators for single in self._operator(op))
        outputs = tuple(self._output(port) for port in graph.outputs)
        return ir.Graph(inputs=(port,), outputs=outputs, operators=operators, tensors=self._tensors)

    def _output(self, port: ir.GraphOutput) -> ir.GraphOutput:
        t = port.tensor
        axis = next((i for i, size in enumerate(port.shape) if size == self._places and prod(port.shape[:i]) == 1), None)
        if axis is None or t.rows != self._places or (port.permutation.reshape(-1) != np.arange(t.rows * t.cols)).any():
            raise DecoderError(f"output {port.name} must have a row for each token, not the shape {list(port.shape)}")
        shape = (*port.shape[:axis], 1, *port.shape[axis + 1 :])
        return replace(port, shape=shape, tensor=self._tensors[t.name], permutation=np.arange(t.cols)[None])

    def _one(self, block: ir.Block) -> ir.Block:
        """The token's row of a block."""
        t, places = block.tensor, self._places
        if t.data is not None:
            self._tensors[t.name] = t
            return replace(block, row=block.row + self._row, rows=1) if block.rows == places else block
        if block.rows % places or block.row % places:
            raise DecoderError(f"{block} must have a row for each of {places} tokens")
        cols = self._row + 1 if t.name in self._of.by_token else t.cols
        single = self._tensors.setdefault(t.name, replace(t, rows=t.rows // places, cols=cols))
        return replace(block, tensor=single, row=block.row // places, rows=block.rows // places, cols=min(block.cols, cols))

    def _operator(self, op: ir.Operator) -> Iterator[ir.Operator]:
        match op:
            case ir.MatMul() if op.name in self._of.in_dram:
                yield self._product(op, self._of.placement.matrices[op.name])
            case ir.MatMul() if op.name in self._of.placement.matrices:
                (part,) = op.parts
                self._tensors[part.b.tensor.name] = part.b.tensor
                yield replace(op, parts=(replace(part, a=self._one(part.a), out=self._one(part.out)),))
            case ir.MatMul() if op.b_transposed:
                yield self._scores(op, self._of.placement.caches[op.name])
            case ir.MatMul():
                yield from self._weighted(op, self._of.placement.caches[op.name])
            case ir.Softmax() if op.parameters.rows == self._places and op.parameters.length == 1 and not op.importance:
                parameters = replace(op.parameters, length=self._row + 1, rows=1)
                yield replace(op, out=self._one(op.out), a=self._one(op.a), parameters=parameters)
            case ir.Fetch() if op.numbers and not op.shift:
                self._tensors[op.source.tensor.name] = op.source.tensor
                number = self._tensors[op.numbers.tensor.name]
                yield replace(op, out=self._one(op.out), numbers=replace(op.numbers, tensor=number, cols=1))
            case ir.Pick() if not op.importance:
                self._tensors[op.labels.tensor.name] = op.labels.tensor
                yield replace(op, out=self._one(op.out), by=self._one(op.by))
            case ir.Add() | ir.Multiply():
                yield replace(op, out=self._one(op.out), a=self._one(op.a), b=self._one(op.b))
            case ir.LayerNorm() | ir.Gelu() | ir.Table() | ir.Rescale():
                yield replace(op, out=self._one(op.out), a=self._one(op.a))
            case _:
                raise DecoderError(f"{op.node}: a token at a time, it needs others ({op})")

    def _product(self, op: ir.MatMul, of: MatrixMap) -> Pim:
        """A matrix with a vector: chunk by chunk of k, whose sums are the next one's start values."""
        (part,) = op.parts
        a, out, width = self._one(part.a), self._one(part.out), self._dram.column_bytes
        sums = self._sums(op, of.m) if len(of.chunks) > 1 else None
        commands = list[PimCommand]()
        for (first, end), places in zip(of.chunks, of.places, strict=True):
            last = (first, end) == of.chunks[-1]
            row, column = divmod(places[0], self._dram.columns)
            group = {
                **{"row": row, "column": column, "count": end - first, "groups": of.groups, "group_columns": end - first},
                **{"n": of.m, "starts": int(first > 0), "raw": int(not last)},
            }
            bytes_of = replace(a, col=a.col + first * width, cols=min(a.cols, end * width) - first * width)
            commands += [
                self._command(Macro.WRITE_BUFFER, {"count": end - first}, a=bytes_of),
                self._command(PRODUCT, group, a=sums if first else None, out=out if last else sums, k=bytes_of.cols),
            ]
        return Pim(name=op.name, node=op.node, commands=tuple(commands), parameters=self._of.parameters[op.name])

    def _sums(self, op: ir.MatMul, count: int) -> ir.Block:
        """Of int32, as bytes."""
        tensor = ir.Tensor(name=f"{op.name}.sums", rows=1, cols=ACCUMULATOR_BYTES * count, bits=8, scale=1.0, zero_point=0)
        return self._tensors.setdefault(tensor.name, tensor).whole

    def _scores(self, op: ir.MatMul, cache: CacheMap) -> Pim:
        """The token's key goes to those before, then its queries are multiplied with all."""
        commands = list[PimCommand]()
        for slot in range(cache.slots):
            heads = op.parts[slot * cache.sets : (slot + 1) * cache.sets]
            keys = iter([self._one(part.b) for part in heads])
            for macro, fields in cache.key_macros(slot, self._row):
                if macro is not Macro.WRITE:
                    commands.append(self._command(macro, fields))
                elif key := next(keys, None):  # the last slot may have fewer heads than sets
                    commands.append(self._command(macro, fields, a=key))
        for head, part in enumerate(op.parts):
            slot, channels = self._place(cache, head)
            buffer = {"buffer": slot * cache.key_columns, "count": cache.key_columns, "channels": channels}
            commands.append(self._command(Macro.WRITE_BUFFER, buffer, a=self._one(part.a)))
        tokens = self._row + 1
        for head, part in enumerate(op.parts):
            slot, channels = self._place(cache, head)
            row, column = divmod(cache.key_place(slot, 0), self._dram.columns)
            group = {"groups": cache.groups(tokens), "group_columns": cache.key_columns, "count": cache.key_columns}
            place = {"row": row, "column": column, "buffer": slot * cache.key_columns, "channels": channels}
            commands.append(self._command(PRODUCT, {**place, **group, "n": tokens}, out=self._one(part.out), k=cache.width))
        parameters = op.parameters.of_channels(0, tokens)
        return Pim(name=op.name, node=op.node, commands=tuple(commands), parameters=parameters)

    def _weighted(self, op: ir.MatMul, cache: CacheMap) -> Iterator[Pim]:
        """The token's value goes to those before; then these are weighted."""
        columns, tokens = -(-(self._row + 1) // self._dram.column_bytes), self._row + 1
        again, offset = _offsets(op.parameters.a_zero_point)
        beyond = columns if again else 0  # the constants lie behind the probabilities
        if columns + beyond > self._dram.buffer_columns:
            raise DecoderError(f"{op.node}: {tokens} tokens, and constants for a zero point, need more than the global buffer ({op})")
        yield Pim(name=f"{op.name}.append", node=op.node, commands=tuple(self._appended(op, cache)))
        commands = list[PimCommand]()
        if again:
            commands.append(self._command(Macro.WRITE_BUFFER, {"buffer": columns, "count": columns}, a=self._constants(offset)))
        for head, part in enumerate(op.parts):
            slot, channels = self._place(cache, head)
            row, column = divmod(cache.value_place(slot, 0), self._dram.columns)
            group = {"groups": cache.parts, "group_columns": cache.token_columns, "count": columns, "again": again}
            place = {"row": row, "column": column, "channels": channels, "again_buffer": beyond}
            commands += [
                self._command(Macro.WRITE_BUFFER, {"channels": channels, "count": columns}, a=self._one(part.a)),
                self._command(PRODUCT, {**place, **group, "n": cache.width}, out=self._one(part.out), k=tokens),
            ]
        yield Pim(name=op.name, node=op.node, commands=tuple(commands), parameters=op.parameters)

    def _appended(self, op: ir.MatMul, cache: CacheMap) -> Iterator[PimCommand]:
        for macro, fields in cache.scatter_macros(self._row):
            if macro is not Macro.SCATTER:
                yield self._command(macro, fields)
                continue
            column = fields["row"] * self._dram.columns + fields["column"] - cache.value_place(0, 0)
            slot, part = divmod(column // cache.token_columns, cache.parts)
            for head in range(slot * cache.sets, min((slot + 1) * cache.sets, cache.heads)):
                value = self._one(op.parts[head].b)
                first = part * cache.outputs
                some = replace(value, col=value.col + first, cols=min(cache.outputs, cache.width - first))
                yield self._command(macro, {**fields, "channels": self._place(cache, head)[1]}, a=some)

    def _constants(self, offset: int) -> ir.Block:
        """For each token so far."""
        data = np.full((1, self._row + 1), offset, np.int8)
        name = f"weights.{offset}"
        tensor = ir.Tensor(name=name, rows=1, cols=data.shape[1], bits=8, scale=1.0, zero_point=0, data=data)
        return self._tensors.setdefault(name, tensor).whole

    def _place(self, cache: CacheMap, head: int) -> tuple[int, int]:
        """A head's slot and channels."""
        slot, number = divmod(head, cache.sets)
        return slot, cache.masks()[number]

    def _command(
        self, operation: int, fields: Mapping[str, int], *, a: ir.Block | None = None, out: ir.Block | None = None, k: int = 0
    ) -> PimCommand:
        """To all channels, unless the fields say which. k: of a product's vector."""
        channels = (1 << self._dram.channels) - 1
        return PimCommand(fields={"operation": int(operation), "channels": channels, **fields}, a=a, out=out, macs=k * fields.get("n", 0))


def _offsets(zero_point: int) -> tuple[int, int]:
    """How often a constant is added to a vector instead of taking the zero point off it, and the constant."""
    if zero_point == 0:
        return 0, 0
    return (1, -zero_point) if -zero_point <= INT8.max else (2, -zero_point // 2)


def _without_zero_point(op: ir.MatMul) -> MatMulParameters:
    """Raises DecoderError where that does not fit it."""
    bias = op.parameters.bias - op.parameters.a_zero_point * matrix_of(op).astype(np.int64).sum(axis=1)
    if not INT32.min <= bias.min() <= bias.max() <= INT32.max:
        raise DecoderError(f"{op.node}: its bias, with the zero point's share, must fit int32 ({op})")
    return replace(op.parameters, bias=bias)
