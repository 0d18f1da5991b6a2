"""Maps of few channels: kept without gaps, and convolved in runs of pixels.

A convolution of one channel to one uses one column of the array. Here its windows are widened until each makes a run of pixels of a line,
whose channels fill the columns: pixel i of a run has the kernel i strides further on, and zeros beside it. Then the results of a window lie
as they do in the map, and the next convolution reads its windows' lines as runs of bytes. Only maps that nothing but such convolutions, and
functions of single elements, write and read are kept so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir

MOST_KERNEL = 255


def pack(graph: ir.Graph, parameters: MachineParameters) -> ir.Graph:
    """The same network, with each convolution that can be in runs of pixels."""
    runs = {op.name: run for op in graph.operators if isinstance(op, ir.MatMul) and (run := _run(op, parameters))}
    widths = _widths(graph, runs)
    while wrong := {name for name in runs if not _is_packed(graph, name, runs, widths)}:
        runs = {name: run for name, run in runs.items() if name not in wrong}
        widths = _widths(graph, runs)
    operators = tuple(_in_runs(op, runs[op.name]) if isinstance(op, ir.MatMul) and op.name in runs else op for op in graph.operators)
    blocks = (block for op in operators for block in (*op.inputs, *op.outputs))
    used = {block.tensor.name: block.tensor for block in blocks} | {port.tensor.name: port.tensor for port in graph.inputs}
    return replace(graph, operators=operators, tensors=used)


def packed_lines(graph: ir.Graph) -> dict[str, int]:
    """Pixels of a line of each map that is kept without gaps, by the tensor's name."""
    convolutions = (op for op in graph.operators if isinstance(op, ir.MatMul) and op.run)
    return {name: min(found) for name, found in _widths(graph, {op.name: op.run for op in convolutions}).items()}


def _run(op: ir.MatMul, p: MachineParameters) -> int:
    """Pixels of a run; 0 where the convolution can't be in runs."""
    window, part, channels = op.window, op.parts[0], op.parts[0].out.cols
    if not (p.packing and window and window.contiguous and window.groups == 1) or op.maximum or op.residual or len(op.parts) > 1:
        return 0
    run, rest = divmod(p.cols, channels)
    few = all(block.cols * block.tensor.bits < 8 * p.word_bytes for block in (part.a, part.out))
    if rest or not few or window.columns % run or part.b.tensor.data is None or not part.b.is_whole:
        return 0
    most_windows = p.accumulator_depth // (1 + op.pooled)
    fits = _run_kernel(op, run) <= MOST_KERNEL and window.columns // run <= most_windows
    of_single_pixels = channels == 1 and (p.pools or not op.pooled)
    return run if fits and (of_single_pixels or not (op.pooled or op.repeated)) else 0


def _run_kernel(op: ir.MatMul, run: int) -> int:
    """Pixels of a line of the map that a run of results needs."""
    assert op.window
    return op.window.kernel[1] + (run - 1) * op.window.strides[1]


def _widths(graph: ir.Graph, runs: Iterable[str]) -> dict[str, set[int]]:
    """The pixels of a line of each map that these convolutions read and write, and of what single elements of them are combined with."""
    widths: dict[str, set[int]] = {}
    for op in graph.operators:
        if isinstance(op, ir.MatMul) and op.name in runs:
            assert op.window
            widths.setdefault(op.parts[0].a.tensor.name, set()).add(op.window.width)
            widths.setdefault(op.parts[0].out.tensor.name, set()).add(op.map_size[1])
    changed = True
    while changed:
        changed = False
        for op in graph.operators:
            names = _of_elements(op)
            together = set[int]().union(*(widths.get(name, ()) for name in names))
            for name in names if together else ():
                changed |= widths.get(name) != together
                widths[name] = together
    return widths


def _of_elements(op: ir.Operator) -> list[str]:
    """The tensors of an operator that takes single elements of whole tensors."""
    blocks = (*op.inputs, *op.outputs)
    single = isinstance(op, ir.Add | ir.Multiply | ir.Rescale | ir.Gelu | ir.Table)
    alike = len({(block.rows, block.cols) for block in blocks}) == 1 and all(block.is_whole for block in blocks)
    return [block.tensor.name for block in blocks] if single and alike else []


def _is_packed(graph: ir.Graph, name: str, runs: Mapping[str, int], widths: Mapping[str, set[int]]) -> bool:
    """Whether all maps that a convolution's maps are combined with are written and read in runs, or element by element, alike."""
    (op,) = (op for op in graph.operators if op.name == name)
    maps, ahead = set[str](), {op.inputs[0].tensor.name, op.outputs[0].tensor.name}
    touching: list[ir.Operator] = []
    while ahead:
        maps |= ahead
        touching = [other for other in graph.operators if maps & _tensors(other)]
        ahead = {tensor for other in touching for tensor in _of_elements(other)} - maps
    in_runs = all(other.name in runs or _of_elements(other) for other in touching)
    whole = all(block.is_whole for other in touching for block in (*other.inputs, *other.outputs))
    computed = all(graph.tensors[tensor].data is None for tensor in maps)
    return in_runs and whole and computed and all(len(widths[tensor]) == 1 for tensor in maps)


def _tensors(op: ir.Operator) -> set[str]:
    return {block.tensor.name for block in (*op.inputs, *op.outputs)}


def _in_runs(op: ir.MatMul, run: int) -> ir.MatMul:
    window, part = op.window, op.parts[0]
    assert window
    kernel, stride, weights = _run_kernel(op, run), window.strides[1], part.b.tensor
    assert weights.data is not None
    taps = weights.data.reshape(weights.rows, window.kernel[0], window.kernel[1], -1)
    data = np.full((run, weights.rows, window.kernel[0], kernel, taps.shape[3]), weights.zero_point, weights.data.dtype)
    for pixel in range(run):
        data[pixel, :, :, pixel * stride : pixel * stride + window.kernel[1]] = taps
    rows = data.reshape(run * weights.rows, -1)
    b = replace(weights, name=f"{op.name}.runs", rows=rows.shape[0], cols=rows.shape[1], data=rows)
    wide = replace(window, kernel=(window.kernel[0], kernel), strides=(window.strides[0], run * stride))
    tiled = {name: np.tile(getattr(op.parameters, name), run) for name in ("bias", "multiplier", "shift")}
    return replace(op, parts=(replace(part, b=b.whole),), window=wide, parameters=replace(op.parameters, **tiled), run=run)
