"""Products with computed numbers of 8 bits, where the machine takes only 4: each byte is read as two numbers, with a column of a for each.

A number q is 16 * h + l + 8, where h and l, -8..7, are the halves of the byte of ``q xor 8``.
"""

from dataclasses import replace

import numpy as np

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from ..golden.activation import ActivationTable

FLIPPED = 8  # what makes the lower half, 0..15, a signed number
_ENTRIES = ActivationTable(tuple(q ^ FLIPPED for q in range(-128, 128)))
_MOST = 127 // 16  # of a, of which there are 16 times as much too


def with_halves(graph: ir.Graph, parameters: MachineParameters) -> ir.Graph:
    """The same network with such products in halves, where they can be: those of a constant whose rows have one sum."""
    operators = list[ir.Operator]()
    for op in graph.operators:
        operators += _in_halves(op) if parameters.weight_bits < 8 and isinstance(op, ir.MatMul) and _can_be(op) else [op]
    tensors = {block.tensor.name: block.tensor for op in operators for block in (*op.inputs, *op.outputs)}
    return replace(graph, operators=tuple(operators), tensors={**graph.tensors, **tensors})


def _can_be(op: ir.MatMul) -> bool:
    (part, *others), a = op.parts, op.parts[0].a.tensor.data
    changed = op.window or op.groups or op.shift or op.residual or others or not op.b_transposed or op.parameters.a_zero_point
    if changed or a is None or not part.a.is_whole or part.b.tensor.data is not None or part.b.tensor.bits != 8:
        return False
    return np.abs(a).max() <= _MOST and len(set(a.sum(axis=1, dtype=np.int64).tolist())) == 1


def _in_halves(op: ir.MatMul) -> tuple[ir.Table, ir.MatMul]:
    (part,), q = op.parts, op.parameters
    a, b = part.a.tensor, part.b
    assert a.data is not None
    flipped = replace(b.tensor, name=f"{op.name}.halves", rows=b.rows, cols=b.cols, zero_point=0)
    both = np.stack([a.data, 16 * a.data], axis=-1).reshape(a.rows, -1)
    factors = replace(a, name=f"{op.name}.of_halves", cols=2 * a.cols, data=both)
    bias = q.bias + (FLIPPED - q.b_zero_point) * int(a.data[0].sum(dtype=np.int64))
    product = replace(
        op, parts=(replace(part, a=factors.whole, b=flipped.whole),), parameters=replace(q, bias=bias, b_zero_point=0), halves=True
    )
    return ir.Table(name=flipped.name, node=op.node, a=b, out=flipped.whole, parameters=_ENTRIES), product
