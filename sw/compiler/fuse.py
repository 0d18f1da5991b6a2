"""Operators that the machine does in one: a function of the results of a product, or a sum of them and a matrix, is made on their way."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from ..golden.add import AddParameters
from ..golden.matmul import requantize_sums
from .upsampling import raise_products, repeated, with_products

Combine = Callable[[ir.MatMul, ir.Operator, ir.Block], ir.MatMul | None]


def fuse(graph: ir.Graph, parameters: MachineParameters) -> ir.Graph:
    """The same network with each Table of 8 bits, then max pooling of 2 x 2 pixels of one channel of a machine with packing, then each
    Upsample, then each Add of a machine with a residual, in the product whose results nothing else reads."""
    graph = _fused(graph, _with_table)
    if parameters.packing:
        graph = _fused(graph, _with_pool)
    graph = with_products(_fused(raise_products(graph), _with_upsample))
    return _fused(graph, _with_residual) if parameters.residual else graph


def _fused(graph: ir.Graph, combine: Combine) -> ir.Graph:
    """With what ``combine`` makes of a product, the operator that alone reads its results, and the block that these are. It takes the place
    of that operator, whose other operands are there by then."""
    position = {op.name: i for i, op in enumerate(graph.operators)}
    outputs = {port.tensor.name for port in graph.outputs}
    readers: dict[str, list[ir.Operator]] = {name: [] for name in graph.tensors}
    writers: dict[str, set[ir.Operator]] = {name: set() for name in graph.tensors}
    for op in graph.operators:
        for block in op.inputs:
            readers[block.tensor.name].append(op)
        for block in op.outputs:
            writers[block.tensor.name].add(op)

    def product_of(op: ir.Operator, block: ir.Block) -> ir.MatMul | None:
        """The one that makes the whole block for ``op`` alone, and whose own operands stay as they are until then."""
        source = block.tensor.name
        if not block.is_whole or source in outputs or readers[source] != [op] or len(writers[source]) != 1:
            return None
        (product,) = writers[source]
        changed = any(position[w.name] > position[product.name] for b in product.inputs for w in writers[b.tensor.name])
        return product if isinstance(product, ir.MatMul) and not changed and product.when == op.when else None

    operators, between = {op.name: op for op in graph.operators}, set[str]()
    for op in graph.operators:
        products = [(product, block) for block in op.inputs if (product := product_of(op, block))]
        for product, block in sorted(products, key=lambda pair: -position[pair[0].name]):  # that which waits least for the other
            if both := combine(product, op, block):
                operators[op.name] = both
                del operators[product.name]
                between.add(block.tensor.name)
                break
    return replace(
        graph,
        operators=tuple(operators.values()),
        tensors={name: tensor for name, tensor in graph.tensors.items() if name not in between},
        layers={name: layer for name, layer in graph.layers.items() if name not in between},
    )


def _with_table(product: ir.MatMul, op: ir.Operator, _: ir.Block) -> ir.MatMul | None:
    if not isinstance(op, ir.Table) or not op.out.is_whole or op.out.tensor.bits != 8 or product.table or product.residual:
        return None
    parts = tuple(replace(part, out=replace(part.out, tensor=op.out.tensor)) for part in product.parts)
    return replace(product, parts=parts, table=op.parameters)


def _with_pool(product: ir.MatMul, op: ir.Operator, results: ir.Block) -> ir.MatMul | None:
    if not isinstance(op, ir.MatMul) or not op.maximum or op.parts[0].a is not results or not _is_plain_map(product, results):
        return None
    window, parameters, codes = op.window, op.parameters, np.arange(-128, 128)
    assert window
    assert product.window
    even = window.height % 2 == window.width % 2 == 0 and product.map_size == (window.height, window.width)
    halves = even and window.kernel == window.strides == (2, 2) and not any(window.pads) and window.dilations == (1, 1)
    same = (requantize_sums(codes[:, None] - parameters.a_zero_point, parameters)[:, 0] == codes).all()
    # The largest result is that of the largest sum if the function never falls.
    follows = not op.table or (not product.table and list(op.table.entries) == sorted(op.table.entries))
    if not (halves and same and follows) or op.residual:
        return None
    parts = (replace(product.parts[0], out=op.parts[0].out),)
    return replace(product, parts=parts, pooled=True, table=op.table or product.table)


def _with_upsample(product: ir.MatMul, op: ir.Operator, _: ir.Block) -> ir.MatMul | None:
    return repeated(product, op) if isinstance(op, ir.Upsample) else None


def _is_plain_map(product: ir.MatMul, results: ir.Block) -> bool:
    """Whether the results are a map of single pixels of 8 bits, as the convolution made them."""
    changed = product.maximum or product.residual or product.pooled or product.repeated
    of_one_channel = product.window is not None and len(product.parts) == results.cols == 1
    return of_one_channel and results.tensor.bits == 8 and not changed


def _with_residual(product: ir.MatMul, op: ir.Operator, results: ir.Block) -> ir.MatMul | None:
    part, *others = product.parts
    if product.pooled or product.repeated:
        return None
    if not isinstance(op, ir.Add) or op.a.rows != op.b.rows or others or product.residual:
        return None
    residual = ir.Residual(r=op.b, parameters=op.parameters) if results is op.a else ir.Residual(r=op.a, parameters=_swapped(op.parameters))
    return replace(product, parts=(replace(part, out=op.out),), residual=residual)


def _swapped(p: AddParameters) -> AddParameters:
    """Of b + a."""
    a = {"a_zero_point": p.b_zero_point, "a_multiplier": p.b_multiplier, "a_left": p.b_left}
    return replace(p, **a, b_zero_point=p.a_zero_point, b_multiplier=p.a_multiplier, b_left=p.a_left)
