"""Operators that the machine does in one: a function of the results of a product is looked up on their way."""

from collections.abc import Iterator
from dataclasses import replace

from .. import graph as ir


def fuse(graph: ir.Graph) -> ir.Graph:
    """The same network with each Table of 8 bits in the product whose int8 results nothing else reads."""
    pairs = list(_products_with_tables(graph))
    between = {table.a.tensor.name for _, table in pairs}
    fused = {table.name for _, table in pairs}
    products = {product.name: _with_table(product, table) for product, table in pairs}
    return replace(
        graph,
        operators=tuple(products.get(op.name, op) for op in graph.operators if op.name not in fused),
        tensors={name: tensor for name, tensor in graph.tensors.items() if name not in between},
        layers={name: layer for name, layer in graph.layers.items() if name not in between},
    )


def _products_with_tables(graph: ir.Graph) -> Iterator[tuple[ir.MatMul, ir.Table]]:
    outputs = {port.tensor.name for port in graph.outputs}
    readers, writers = ({name: [] for name in graph.tensors} for _ in range(2))
    for op in graph.operators:
        for users, blocks in ((readers, op.inputs), (writers, op.outputs)):
            for tensor in {block.tensor.name for block in blocks}:
                users[tensor].append(op)
    for op in graph.operators:
        if isinstance(op, ir.Table) and op.out.tensor.bits == 8:
            source, out = op.a.tensor, op.out.tensor
            whole = op.a.is_whole and op.out.is_whole and writers[out.name] == [op]
            if whole and readers[source.name] == [op] and source.name not in outputs and len(writers[source.name]) == 1:
                (writer,) = writers[source.name]
                if isinstance(writer, ir.MatMul):
                    yield writer, op


def _with_table(product: ir.MatMul, table: ir.Table) -> ir.MatMul:
    parts = tuple(replace(part, out=replace(part.out, tensor=table.out.tensor)) for part in product.parts)
    return replace(product, parts=parts, table=table.parameters)
