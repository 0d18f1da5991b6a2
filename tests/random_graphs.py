"""Random small integer graphs, random machines, and a program's run on the golden machine."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.deform import Form
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Step
from celosia.rtl.arch.window import Window
from celosia.sw import graph as ir
from celosia.sw.compiler.program import Program
from celosia.sw.executor import execute, quantize_input
from celosia.sw.golden.machine import Machine
from celosia.sw.manifest import Manifest
from celosia.sw.pruning import Pruning
from celosia.tb.graphs import Builder, below, beside, random_inputs
from hypothesis import strategies as st
from numpy.typing import NDArray

TOKENS = 12  # of a transformer
OF_INT8 = "linear", "grouped", "convolution", "max_pool", "attention", "table", "residual", "deform"
KINDS = (*OF_INT8[:-1], "rescale", "add", "add_row", "gate", "gate_row", "gelu", "softmax", "layernorm", "skip")
WITH_DEFORM = (*KINDS, "deform", "deform")


@st.composite
def windows(draw: st.DrawFn, pixels: int, groups: int) -> Window:
    """Over a feature map of so many pixels."""
    width = draw(st.sampled_from([n for n in range(1, pixels + 1) if pixels % n == 0]))
    two = lambda most: st.tuples(st.integers(1, most), st.integers(1, most))  # noqa: E731
    values = {"kernel": two(3), "strides": two(3), "dilations": two(2), "pads": st.tuples(*[st.integers(0, 2)] * 4)}
    while True:
        with suppress(ParameterError):
            return Window(height=pixels // width, width=width, groups=groups, **{name: draw(value) for name, value in values.items()})


@st.composite
def graphs(draw: st.DrawFn, kinds: Sequence[str] = KINDS) -> ir.Graph:
    """A chain of one to six operators on one input, with residual sums and heads of any width."""
    builder = Builder(draw(st.integers(0, 1 << 16)))
    x = source = builder.tensor(draw(st.integers(1, 20)), draw(st.integers(1, 40)), draw(st.sampled_from((8, 16))))
    sides: list[ir.Tensor] = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6)):
        bits, weight_bits = draw(st.sampled_from((8, 16))), draw(st.sampled_from((2, 4, 8)))
        narrow = x if x.bits == 8 or kind not in OF_INT8 else builder.rescale(x, 8)
        match kind:
            case "convolution":
                groups = draw(st.sampled_from([n for n in range(1, x.cols + 1) if x.cols % n == 0]))
                cols = groups * draw(st.integers(1, max(1, 20 // groups)))
                x = builder.convolution(narrow, cols, bits, draw(windows(x.rows, groups)), weight_bits)
            case "deform":
                width = draw(st.sampled_from([n for n in range(1, x.rows + 1) if x.rows % n == 0]))
                x = builder.deformed(narrow, width, draw(st.sampled_from(Form)), draw(st.integers(0, 4)))
            case "max_pool":
                x = builder.max_pool(narrow, bits, draw(windows(x.rows, x.cols)))
            case "linear":
                x = builder.linear(narrow, draw(st.integers(1, 50)), bits, weight_bits)
            case "grouped":
                groups = draw(st.sampled_from([n for n in range(1, x.cols + 1) if x.cols % n == 0]))
                x = builder.linear(narrow, draw(st.integers(1, 50)), bits, weight_bits, groups)
            case "attention":
                x = builder.attention(narrow, draw(st.integers(1, 4)), draw(st.integers(1, 12)), length=draw(st.integers(0, 3)))
            case "table":
                x = builder.table(narrow, bits)
            case "softmax":
                rows = draw(st.sampled_from([n for n in range(1, x.rows + 1) if x.rows % n == 0]))
                x = builder.softmax(x, bits, length=draw(st.integers(0, x.cols + 1)), rows=rows)
            case "residual":  # a sum with the results of a product, perhaps looked up
                y = builder.linear(narrow, x.cols, draw(st.sampled_from((8, 16))))
                y = builder.table(y, 8) if y.bits == 8 and draw(st.booleans()) else y
                x = builder.add(x, y, bits) if draw(st.booleans()) else builder.add(y, x, bits)
            case "add":
                x = builder.add(x, builder.rescale(x, 8), bits)
            case "add_row":
                x = builder.add(x, builder.constant(1, x.cols), bits)
            case "gate":
                x = builder.multiply(x, builder.rescale(x, draw(st.sampled_from((8, 16)))), bits)
            case "gate_row":
                x = builder.multiply(x, builder.constant(1, x.cols), bits)
            case "skip":  # a residual sum over all that came since a tensor of the same shape
                like = [t for t in (source, *sides) if (t.rows, t.cols) == (x.rows, x.cols)]
                x = builder.add(x, like[0] if like else x, bits)
            case _:
                x = getattr(builder, kind)(x, bits)
        sides.append(x)
    outputs = [x] if draw(st.booleans()) or sides[0] is x or not builder.operators else [sides[0], x]
    return builder.graph([source], outputs)


def transformer(
    layers: int = 2,
    *,
    heads: int = 2,
    width: int = 5,
    length: int = 0,
    groups: int = 0,
    first_only: bool = False,
    mean: bool = True,
    seed: int = 1,
) -> ir.Graph:
    """Layers of attention and a product, with residual sums; then a product of the first token, or of the mean of all."""
    builder = Builder(seed)
    x = source = builder.tensor(TOKENS, heads * width, 16)
    for _ in range(layers):
        x = builder.add(x, builder.attention(builder.layernorm(x, 8), heads, width, length=length, groups=groups), 16)
        x = builder.add(x, builder.linear(builder.layernorm(x, 8), heads * width, 8), 16)
    x = builder.layernorm(x, 8)
    if first_only:
        out, weights = builder.tensor(1, 3, 16), builder.constant(3, x.cols)
        token = ir.Block(tensor=x, row=0, col=0, rows=1, cols=x.cols)
        builder.product([ir.MatMulPart(a=token, b=weights.whole, out=out.whole)], transposed=True)
    elif mean:
        ones, out = builder.tensor(1, TOKENS, 8, np.ones((1, TOKENS), np.int8)), builder.tensor(1, x.cols, 8)
        builder.product([ir.MatMulPart(a=ones.whole, b=x.whole, out=out.whole)], transposed=False)
    else:
        out = x
    graph = builder.graph([source], [out])
    return replace(graph, operators=tuple(_alike(op) for op in graph.operators))


def cached(
    layers: int = 2, *, heads: int = 3, width: int = 8, tokens: int = TOKENS, queries: int = 1, symmetric: bool = True, seed: int = 1
) -> ir.Graph:
    """Layers of attention on queries, keys and values that are inputs, each with a product of the heads' results."""
    builder, inputs, outputs = Builder(seed), [], []
    for _ in range(layers):
        q, v = builder.tensor(queries, heads * width, 8), builder.tensor(heads * tokens, width, 8)
        k = builder.tensor(heads * tokens, width, 8, symmetric=symmetric)
        scores, out = builder.tensor(heads * queries, tokens, 16), builder.tensor(queries, heads * width, 8)
        parts = zip(beside(q, heads), below(k, heads), below(scores, heads), strict=True)
        builder.product([ir.MatMulPart(a=a, b=b, out=o) for a, b, o in parts], transposed=True)
        parts = zip(below(builder.softmax(scores, 8), heads), below(v, heads), beside(out, heads), strict=True)
        builder.product([ir.MatMulPart(a=a, b=b, out=o) for a, b, o in parts], transposed=False)
        inputs += [q, k, v]
        outputs.append(builder.linear(out, 5, 16))
    graph = builder.graph(inputs, outputs)
    return replace(graph, operators=tuple(_alike(op, bias=not symmetric) for op in graph.operators))


@st.composite
def prunings(draw: st.DrawFn, layers: int, *, fetched: bool) -> Pruning:
    """Of so many layers, after some of them. fetched: values and low bits too."""
    shares = st.lists(st.floats(0.01, 1), max_size=layers).map(lambda found: tuple(sorted(found, reverse=True)))
    left = {"tokens": draw(shares), "protected": draw(st.integers(0, 3)), "heads": draw(shares)}
    if fetched:
        left |= {"values": draw(st.floats(0.01, 1)), "progressive": draw(st.sampled_from((0.0, 0.05, 0.1, 0.3, 1.0)))}
    return Pruning(**left)


def _alike(op: ir.Operator, *, bias: bool = True) -> ir.Operator:
    """Scores that treat all tokens alike."""
    if not isinstance(op, ir.MatMul) or op.parts[0].b.tensor.data is not None or not op.b_transposed:
        return op
    arrays = {name: np.full_like(array := getattr(op.parameters, name), array[0]) for name in ("bias", "multiplier", "shift")}
    arrays["bias"] *= bias
    return replace(op, parameters=replace(op.parameters, **arrays))


@st.composite
def machines(draw: st.DrawFn, scratchpads: tuple[int, ...] = (1, 2, 4, 16, 128), *, deforms: bool = False) -> MachineParameters:
    rows = draw(st.sampled_from((4, 6, 8, 12, 16, 32)))
    cols = draw(st.sampled_from([n for n in (rows // 2, rows, 2 * rows) if n >= 4 and rows % min(n, rows) == 0]))
    half = rows // 2
    kib = draw(st.sampled_from(scratchpads))
    banks = draw(st.sampled_from([n for n in (1, 2, 4) if kib * 1024 >= 16 * n * rows]))
    units = draw(st.sampled_from([n for n in (1, 1, 2, 4) if n <= banks]))
    machine = MachineParameters(
        rows=rows,
        cols=cols,
        lanes=draw(st.sampled_from([n for n in range(1, half + 1) if half % n == 0])),
        scratchpad_kib=kib,
        banks=banks,
        units=units,
        b_words=draw(st.sampled_from([n for n in (1, 1, 2, 4) if units * n <= banks])),
        accumulator_depth=draw(st.sampled_from((16, 64))),
        bus_bytes=draw(st.sampled_from((4, 8, 16, 32))),
        row_elements=draw(st.sampled_from((64, 1024))),
        requantizer_columns=draw(st.sampled_from([n for n in (1, 2, 4) if cols % n == 0])),
        factor_bits=draw(st.sampled_from((0, 8, 8, 8))),
        residual=draw(st.integers(0, 1)),
    )
    if not deforms:
        return machine
    return replace(machine, deform_kernel=3, deform_reach=4, deform_width=12, deform_free=1, deform_bilinear=1)


def run_on_golden_machine(program: Program, inputs: Mapping[str, NDArray], body: Iterable[Step] | None = None) -> dict[str, NDArray]:
    """The outputs [rows, cols], by name. body: the program's, by default in its own order."""
    manifest = Manifest.of(program, rom=bool(program.plan.links))
    machine = Machine(program.parameters, program.memory_bytes, program.connections)
    machine.memory[: len(program.image)] = np.frombuffer(program.image, np.uint8)
    machine.run(program.prologue)
    for layout in manifest.inputs:
        data = layout.to_memory(quantize_input(layout.port, inputs[layout.port.name]), program.parameters)
        machine.memory[layout.offset : layout.offset + len(data)] = np.frombuffer(data, np.uint8)
    machine.run(program.body if body is None else body)
    results = {}
    for layout in manifest.outputs:
        data = machine.memory[layout.offset : layout.offset + layout.slots * program.parameters.slot_bytes].tobytes()
        results[layout.port.name] = layout.from_memory(data, program.parameters)
    return results


def check(program: Program, graph: ir.Graph, seed: int = 1) -> None:
    """That on the golden machine it computes what the executor does."""
    inputs = random_inputs(graph, seed)
    found, values = run_on_golden_machine(program, inputs), execute(graph, inputs, lanes=program.parameters.lanes)
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
