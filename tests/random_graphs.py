"""Random small integer graphs, random machines, and a program's run on the golden machine."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from celosia.rtl.arch.activation import MACHINE_GELU
from celosia.rtl.arch.formats import Format
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Step
from celosia.sw import graph as ir
from celosia.sw.compiler.program import Program
from celosia.sw.golden.activation import ActivationParameters
from celosia.sw.golden.add import AddParameters
from celosia.sw.golden.layernorm import LayerNormParameters
from celosia.sw.golden.machine import Machine
from celosia.sw.golden.matmul import MatMulParameters
from celosia.sw.golden.softmax import SoftmaxParameters, machine_circuit
from celosia.sw.manifest import Manifest
from hypothesis import strategies as st
from numpy.typing import NDArray


class Builder:
    """Adds operators to a graph; each method gives the tensor that it adds."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors: dict[str, ir.Tensor] = {}
        self.operators: list[ir.Operator] = []

    def tensor(self, rows: int, cols: int, bits: int, data: NDArray | None = None) -> ir.Tensor:
        zero_point = 0 if data is not None else int(self.random.integers(-20, 20))
        scale = 6.0 / 2 ** (bits - 1)
        t = ir.Tensor(name=f"t{len(self.tensors)}", rows=rows, cols=cols, bits=bits, scale=scale, zero_point=zero_point, data=data)
        self.tensors[t.name] = t
        return t

    def constant(self, rows: int, cols: int) -> ir.Tensor:
        return self.tensor(rows, cols, 8, self.random.integers(-128, 128, (rows, cols)).astype(np.int8))

    @property
    def names(self) -> dict[str, str]:
        return {"name": f"op{len(self.operators)}", "node": f"node{len(self.operators)}"}

    def product(self, parts: Iterable[ir.MatMulPart], *, transposed: bool) -> None:
        parts = tuple(parts)
        a, b, out = parts[0].a.tensor, parts[0].b.tensor, parts[0].out.tensor
        k, n = parts[0].a.cols, parts[0].out.cols
        parameters = MatMulParameters.from_scales(
            a_scale=a.scale,
            a_zero_point=a.zero_point,
            b_scale=b.scale / k**0.5 * self.random.uniform(0.5, 2, n),
            b_zero_point=b.zero_point,
            bias=self.random.normal(0, 1, n),
            out_scale=out.scale,
            out_zero_point=out.zero_point,
            out=out.format,
            channels=n,
            relu=bool(self.random.integers(2)),
        )
        self.operators.append(ir.MatMul(**self.names, parts=parts, b_transposed=transposed, parameters=parameters))

    def linear(self, x: ir.Tensor, cols: int, bits: int) -> ir.Tensor:
        weights, out = self.constant(cols, x.cols), self.tensor(x.rows, cols, bits)
        self.product([ir.MatMulPart(a=x.whole, b=weights.whole, out=out.whole)], transposed=True)
        return out

    def rescale(self, x: ir.Tensor, bits: int) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        parameters = AddParameters.from_scales(
            a_scale=x.scale, a_zero_point=x.zero_point, out_scale=out.scale * 1.3, out_zero_point=out.zero_point, out=out.format
        )
        self.operators.append(ir.Rescale(**self.names, a=x.whole, out=out.whole, parameters=parameters))
        return out

    def add(self, x: ir.Tensor, y: ir.Tensor, bits: int) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        parameters = AddParameters.from_scales(
            **{"a_scale": x.scale, "a_zero_point": x.zero_point, "b_scale": y.scale * 0.7, "b_zero_point": y.zero_point},
            **{"out_scale": out.scale, "out_zero_point": out.zero_point, "out": out.format},  # pyright: ignore[reportArgumentType]
        )
        self.operators.append(ir.Add(**self.names, a=x.whole, b=y.whole, out=out.whole, parameters=parameters))
        return out

    def gelu(self, x: ir.Tensor, bits: int) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        parameters = ActivationParameters.from_scales(
            MACHINE_GELU,
            **{"in_scale": x.scale, "in_zero_point": x.zero_point, "out_scale": out.scale, "out_zero_point": out.zero_point},
            source=x.format,
            out=out.format,
        )
        self.operators.append(ir.Gelu(**self.names, a=x.whole, out=out.whole, parameters=parameters))
        return out

    def softmax(self, x: ir.Tensor, bits: int) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        parameters = SoftmaxParameters.from_scales(
            machine_circuit(1), in_scale=x.scale, out_scale=2.0**-bits, source=x.format, out=Format(bits)
        )
        self.operators.append(ir.Softmax(**self.names, a=x.whole, out=out.whole, parameters=parameters))
        return out

    def layernorm(self, x: ir.Tensor, bits: int) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        gamma, beta = self.random.normal(1, 0.3, x.cols), self.random.normal(0, 1, x.cols)
        parameters = LayerNormParameters.from_scales(
            **{"in_scale": x.scale, "gamma": gamma, "beta": beta, "epsilon": 1e-5},
            **{"out_scale": out.scale, "out_zero_point": out.zero_point, "out": out.format},
        )
        self.operators.append(ir.LayerNorm(**self.names, a=x.whole, out=out.whole, parameters=parameters))
        return out

    def attention(self, x: ir.Tensor, heads: int, width: int) -> ir.Tensor:
        """Heads side by side in the columns of queries, keys, values and result; their scores one below the other."""
        q, k, v = (self.linear(x, heads * width, 8) for _ in range(3))
        tokens = x.rows
        scores, mixed = self.tensor(heads * tokens, tokens, 16), self.tensor(tokens, heads * width, 8)

        def cols(t: ir.Tensor, head: int) -> ir.Block:
            return ir.Block(tensor=t, row=0, col=head * width, rows=tokens, cols=width)

        def rows(t: ir.Tensor, head: int) -> ir.Block:
            return ir.Block(tensor=t, row=head * tokens, col=0, rows=tokens, cols=tokens)

        self.product([ir.MatMulPart(a=cols(q, h), b=cols(k, h), out=rows(scores, h)) for h in range(heads)], transposed=True)
        shares = self.softmax(scores, 8)
        self.product([ir.MatMulPart(a=rows(shares, h), b=cols(v, h), out=cols(mixed, h)) for h in range(heads)], transposed=False)
        return self.linear(mixed, x.cols, 8)

    def port(self, kind: Callable[..., ir.Port], t: ir.Tensor) -> ir.Port:
        order = np.arange(t.rows * t.cols).reshape(t.rows, t.cols)
        shape = {"shape": (t.rows, t.cols), "dtype": t.dtype, "permutation": order}
        return kind(name=t.name, tensor=t, scale=t.scale, zero_point=t.zero_point, **shape)

    def graph(self, inputs: Iterable[ir.Tensor], outputs: Iterable[ir.Tensor]) -> ir.Graph:
        sources = tuple(self.port(ir.GraphInput, t) for t in inputs)
        results = tuple(self.port(ir.GraphOutput, t) for t in outputs)
        return ir.Graph(inputs=sources, outputs=results, operators=tuple(self.operators), tensors=self.tensors)  # pyright: ignore[reportArgumentType]


KINDS = "linear", "rescale", "add", "add_row", "gelu", "softmax", "layernorm", "attention", "skip"


@st.composite
def graphs(draw: st.DrawFn) -> ir.Graph:
    """A chain of one to six operators on one input, with residual sums and heads of any width."""
    builder = Builder(draw(st.integers(0, 1 << 16)))
    x = source = builder.tensor(draw(st.integers(1, 20)), draw(st.integers(1, 40)), draw(st.sampled_from((8, 16))))
    sides: list[ir.Tensor] = []
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6)):
        bits = draw(st.sampled_from((8, 16)))
        narrow = x if x.bits == 8 or kind not in ("linear", "attention") else builder.rescale(x, 8)
        match kind:
            case "linear":
                x = builder.linear(narrow, draw(st.integers(1, 50)), bits)
            case "attention":
                x = builder.attention(narrow, draw(st.integers(1, 4)), draw(st.integers(1, 12)))
            case "add":
                x = builder.add(x, builder.rescale(x, 8), bits)
            case "add_row":
                x = builder.add(x, builder.constant(1, x.cols), bits)
            case "skip":  # a residual sum over all that came since a tensor of the same shape
                like = [t for t in (source, *sides) if (t.rows, t.cols) == (x.rows, x.cols)]
                x = builder.add(x, like[0] if like else x, bits)
            case _:
                x = getattr(builder, kind)(x, bits)
        sides.append(x)
    outputs = [x] if draw(st.booleans()) or sides[0] is x or not builder.operators else [sides[0], x]
    return builder.graph([source], outputs)


@st.composite
def machines(draw: st.DrawFn, scratchpads: tuple[int, ...] = (1, 2, 4, 16, 128)) -> MachineParameters:
    rows = draw(st.sampled_from((4, 6, 8, 12, 16, 32)))
    cols = draw(st.sampled_from([n for n in (rows // 2, rows, 2 * rows) if n >= 4 and rows % min(n, rows) == 0]))
    half = rows // 2
    kib = draw(st.sampled_from(scratchpads))
    return MachineParameters(
        rows=rows,
        cols=cols,
        lanes=draw(st.sampled_from([n for n in range(1, half + 1) if half % n == 0])),
        scratchpad_kib=kib,
        banks=draw(st.sampled_from([n for n in (1, 2, 4) if kib * 1024 >= 16 * n * rows])),
        accumulator_depth=draw(st.sampled_from((16, 64))),
        bus_bytes=draw(st.sampled_from((4, 8, 16, 32))),
        row_elements=draw(st.sampled_from((64, 1024))),
    )


def random_inputs(graph: ir.Graph, seed: int) -> dict[str, NDArray]:
    """Over the whole range of the tensors' type."""
    random = np.random.default_rng(seed)
    return {
        port.name: random.integers(port.tensor.format.min, port.tensor.format.max + 1, port.shape).astype(port.dtype)
        for port in graph.inputs
    }


def run_on_golden_machine(program: Program, inputs: Mapping[str, NDArray], body: Iterable[Step] | None = None) -> dict[str, NDArray]:
    """The outputs [rows, cols], by name. body: the program's, by default in its own order."""
    manifest = Manifest.of(program, rom=False)
    machine = Machine(program.parameters, program.memory_bytes)
    machine.memory[: len(program.image)] = np.frombuffer(program.image, np.uint8)
    machine.run(program.prologue)
    for layout in manifest.inputs:
        data = layout.to_memory(inputs[layout.port.name], program.parameters)
        machine.memory[layout.offset : layout.offset + len(data)] = np.frombuffer(data, np.uint8)
    machine.run(program.body if body is None else body)
    results = {}
    for layout in manifest.outputs:
        data = machine.memory[layout.offset : layout.offset + layout.slots * program.parameters.slot_bytes].tobytes()
        results[layout.port.name] = layout.from_memory(data, program.parameters)
    return results
