"""Convolutions of each channel by itself, where the machine has an engine for them: that of deformable ones, without offsets."""

from dataclasses import replace

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from ..golden.deform import Deformation


def with_deform_engine(graph: ir.Graph, parameters: MachineParameters) -> ir.Graph:
    """The same network, in which that engine does what it can. It takes a result of a word of channels in each cycle, the compute unit
    only as many taps as the array has columns for."""
    operators = tuple(_regular(op, parameters) or op if isinstance(op, ir.MatMul) else op for op in graph.operators)
    return replace(graph, operators=operators)


def _regular(op: ir.MatMul, parameters: MachineParameters) -> ir.Deform | None:
    window, circuit, (part, *others) = op.window, parameters.deform, op.parts
    changed = op.table or op.residual or op.maximum or op.run or op.pooled or op.repeated or op.when or others
    if circuit is None or window is None or changed:
        return None
    weights, dilation, centre = part.b.tensor, window.dilations[0], circuit.kernel // 2
    starts = [centre * dilation - pad for pad in window.pads[:2]]
    kernels = window.kernel == (circuit.kernel, circuit.kernel) and window.groups == part.a.cols == part.out.cols
    steps = window.dilations[1] == dilation and centre * dilation <= circuit.reach and max(window.strides) <= 2
    fits = window.width <= circuit.width and max(map(abs, starts)) <= circuit.reach
    exact = weights.data is not None and not weights.zero_point and weights.bits <= parameters.weight_bits and part.out.tensor.bits == 8
    if not (kernels and steps and fits and exact):
        return None
    deformation = Deformation(
        height=window.height,
        width=window.width,
        lines=window.lines,
        columns=window.columns,
        kernel=circuit.kernel,
        y_start=starts[0],
        x_start=starts[1],
        strides=window.strides,
        dilation=dilation,
    )
    return ir.Deform(name=op.name, node=op.node, a=part.a, b=part.b, out=part.out, deformation=deformation, parameters=op.parameters)
