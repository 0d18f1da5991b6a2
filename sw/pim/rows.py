"""Single rows of a causal network: what an operator does for one token."""

from collections.abc import Iterator
from dataclasses import replace

from .. import graph as ir


class DecoderError(ValueError):
    """A network that can't be decoded a token at a time: the message names its node and the reason."""


def rows_of(op: ir.Operator, row: int, tokens: int) -> Iterator[ir.Operator]:
    """The operator for the token in row ``row`` of ``tokens``: of a softmax of several heads one for each. Raises DecoderError."""

    def one(block: ir.Block, first: int = 0) -> ir.Block:
        return replace(block, row=block.row + first + row, rows=1)

    if any(block.rows % tokens for block in op.outputs):
        raise DecoderError(f"{op.node}: it must have a row for each of {tokens} tokens ({op})")
    match op:
        case ir.Softmax() if op.parameters.rows == tokens and not op.importance:
            # Of a matrix of one row, whose mask leaves what the causal one leaves in this row
            parameters = replace(op.parameters, length=op.parameters.length + row, rows=1)
            for first in range(0, op.out.rows, tokens):
                yield replace(op, out=one(op.out, first), a=one(op.a, first), parameters=parameters)
        case ir.Fetch() if op.numbers and not op.shift:
            yield replace(op, out=one(op.out), numbers=replace(op.numbers, col=op.numbers.col + row, cols=1))
        case ir.Pick() if not op.importance:
            yield replace(op, out=one(op.out), by=one(op.by))
        case ir.Add() | ir.Multiply():
            yield replace(op, out=one(op.out), a=one(op.a), b=one(op.b))
        case ir.LayerNorm() | ir.Gelu() | ir.Table() | ir.Rescale():
            yield replace(op, out=one(op.out), a=one(op.a))
        case _:
            raise DecoderError(f"{op.node}: a token at a time, it needs others ({op})")
