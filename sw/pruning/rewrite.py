"""What all rewriting of a network's attention is made of."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .. import graph as ir
from ..compiler.errors import CompileError
from ..golden.matmul import MatMulParameters


def of_columns(op: ir.MatMul, count: int) -> MatMulParameters:
    """Of products whose results' columns are ``count`` tokens, which are treated alike. Raises CompileError where they are not."""
    arrays = {name: getattr(op.parameters, name) for name in ("bias", "multiplier", "shift")}
    if any((array != array[0]).any() for array in arrays.values()):
        raise CompileError(f"{op.node}: it has scales or biases for each token, which can't be left out")
    return replace(op.parameters, **{name: np.repeat(array[:1], count) for name, array in arrays.items()})


def with_operators(graph: ir.Graph, operators: Sequence[ir.Operator]) -> ir.Graph:
    """The graph with other operators, and the tensors that these use."""
    used = [port.tensor for port in (*graph.inputs, *graph.outputs)]
    used += [block.tensor for op in operators for block in (*op.inputs, *op.outputs)]
    tensors = {tensor.name: tensor for tensor in used}
    layers = {name: port for name, port in graph.layers.items() if name in tensors}
    return replace(graph, operators=tuple(operators), tensors=tensors, layers=layers)


def new_block(name: str, like: ir.Block, **sizes: int) -> ir.Block:
    """Of a new tensor with elements as those of another."""
    return replace(like.tensor, name=name, data=None, **{"rows": like.rows, "cols": like.cols, **sizes}).whole


def are_beside(blocks: Sequence[ir.Block]) -> bool:
    first = blocks[0]
    return all((block.row, block.col) == (first.row, first.col + i * first.cols) for i, block in enumerate(blocks))


def are_below(blocks: Sequence[ir.Block]) -> bool:
    first = blocks[0]
    return all((block.row, block.col) == (first.row + i * first.rows, first.col) for i, block in enumerate(blocks))
