"""Upsampling: a product writes each pixel of its results four times, so there is nothing to do but to find that product."""

from dataclasses import replace

import numpy as np

from ...rtl.arch.window import Window
from .. import graph as ir
from ..golden.matmul import MatMulParameters
from .errors import CompileError


def raise_products(graph: ir.Graph) -> ir.Graph:
    """The same network with products of single pixels before an Upsample that nothing else reads, not behind it: a quarter of the work."""
    outputs = {port.tensor for port in graph.outputs}
    for op in [op for op in graph.operators if isinstance(op, ir.Upsample) and op.out.tensor not in outputs]:
        readers = [other for other in graph.operators if any(block.tensor is op.out.tensor for block in other.inputs)]
        if readers and all(_of_single_pixels(reader, op) for reader in readers):
            graph = _raised(graph, op)
    return graph


def _of_single_pixels(op: ir.Operator, upsample: ir.Upsample) -> bool:
    """Whether it is a product that takes each pixel of the larger map by itself."""
    if not isinstance(op, ir.MatMul) or op.residual or op.shift or op.planes or not upsample.out.is_whole:
        return False
    (part, *others), window = op.parts, op.window
    alone = window is None or (window.kernel == window.strides == (1, 1) and not any(window.pads) and window.groups == 1)
    constant = not others and part.b.tensor.data is not None and not (op.run or op.pooled or op.repeated)
    return alone and constant and part.a.tensor is upsample.out.tensor and part.a.is_whole and part.out.is_whole


def _raised(graph: ir.Graph, upsample: ir.Upsample) -> ir.Graph:
    operators, tensors = list[ir.Operator](), dict(graph.tensors)
    for op in graph.operators:
        if op is upsample:
            continue
        if not any(block.tensor is upsample.out.tensor for block in op.inputs):
            operators.append(op)
            continue
        assert isinstance(op, ir.MatMul)
        part = op.parts[0]
        out = part.out.tensor
        low = tensors[f"{out.name}.low"] = replace(out, name=f"{out.name}.low", rows=upsample.a.rows)
        operators.append(replace(op, parts=(replace(part, a=upsample.a, out=low.whole),), window=None))
        operators.append(replace(upsample, name=f"{op.name}.upsampled", a=low.whole, out=out.whole))
    del tensors[upsample.out.tensor.name]
    layers = {name: port for name, port in graph.layers.items() if name in tensors}
    return replace(graph, operators=tuple(operators), tensors=tensors, layers=layers)


def with_products(graph: ir.Graph) -> ir.Graph:
    """The same network with a product with ones in the place of each Upsample. Raises CompileError where the tensor is not int8."""
    operators = [_of_ones(op) if isinstance(op, ir.Upsample) else op for op in graph.operators]
    weights = {block.tensor.name: block.tensor for op in operators for block in op.inputs}
    return replace(graph, operators=tuple(operators), tensors={**graph.tensors, **weights})


def repeated(product: ir.MatMul, op: ir.Upsample) -> ir.MatMul | None:
    """The product that writes each pixel as 2 x 2; None where it can't."""
    part, *others = product.parts
    changed = product.maximum or product.residual or product.pooled or product.repeated or product.planes or product.shift
    if others or changed or product.groups or not product.b_transposed or op.a.tensor.bits != 8:
        return None
    window = product.window or Window(height=op.a.rows // op.width, width=op.width, kernel=(1, 1))
    if window.groups > 1 or window.columns != op.width:
        return None
    return replace(product, parts=(replace(part, out=op.out),), window=window, repeated=True)


def _of_ones(op: ir.Upsample) -> ir.MatMul:
    a, out = op.a.tensor, op.out.tensor
    if a.bits != 8:
        raise CompileError(f"{op.node}: {op.a} must be int8 to be upsampled")
    identity = np.eye(op.a.cols, dtype=np.int8)
    b = ir.Tensor(name=f"{op.name}.weights", rows=op.a.cols, cols=op.a.cols, bits=2, scale=1.0, zero_point=0, data=identity)
    parameters = MatMulParameters.from_scales(
        **{"a_scale": a.scale, "a_zero_point": a.zero_point, "b_scale": 1.0, "b_zero_point": 0, "bias": 0.0},
        **{"out_scale": a.scale, "out_zero_point": out.zero_point, "out": out.format, "channels": op.a.cols},
    )
    part = ir.MatMulPart(a=op.a, b=b.whole, out=op.out)
    window = Window(height=op.a.rows // op.width, width=op.width, kernel=(1, 1))
    about = {"b_transposed": True, "parameters": parameters, "window": window, "repeated": True}
    return ir.MatMul(name=op.name, node=op.node, parts=(part,), **about)
