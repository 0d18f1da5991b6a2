"""External memory traffic of a generation step's attention, with and without what SpAtten leaves out: `nox -s bench_gpt2_small`, `_medium`.

The shapes and keep ratios are those that SpAtten (arXiv 2012.09852) published for GPT-2: a query for each head, the keys and values of
about 1,000 earlier tokens in external memory. Queries and keys are made up, so that most heads attend to a few tokens and some to none in
particular. Writes a table of docs/pruning.md: bytes and cycles as the Verilated machine took them, its results equal to the executor's.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from celosia.gen.pages import write_section
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import Pruning, compile_model, open_device
from celosia.sw.executor import execute, flag_of
from celosia.sw.graph import Softmax
from celosia.sw.manifest import Manifest
from celosia.sw.report.measure import spans
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper
from rich.progress import track

ROOT = Path(__file__).parents[1]
PAGE, BUILD = ROOT / "docs" / "pruning.md", ROOT / "build" / "cached_attention"
MACHINE = MachineParameters(rows=16, cols=16, lanes=8, scratchpad_kib=512, factor_bits=8, pruning=1)
TOKENS, WIDTH, COLUMNS = 1024, 64, 64
FLAT = 0.059  # of the heads' queries attend to no token in particular: SpAtten's share of inputs that need all bits
LEGEND = f"""
One generation step's attention, the shapes and shares of SpAtten's GPT-2: 12 layers of 12 heads, or 24 of 16, each with a query of 64
numbers and 1,024 earlier tokens, int8, and a product with 64 columns behind each layer. Made-up queries, of which {FLAT:.1%} want no token
in particular. Measured on one Verilated machine for all rows: 16 x 16 MACs, {MACHINE.scratchpad_kib} KiB of scratchpad, 8 bytes a cycle
from a memory of 20 cycles latency; every result is the integer executor's. Bytes are those of keys and values that were fetched.
"""
Q_SCALE, K_SCALE, SCORE_SCALE = 1 / 32, 1 / 32, 1 / 2048


@dataclass(frozen=True)
class Network:
    """With the shares that SpAtten leaves: of tokens and heads after each layer, of values."""

    name: str
    layers: int
    heads: int
    pruning: Pruning


def small() -> Network:
    """Kept of about 1,000: 921 (here all), 716, 204 in four layers and 102 in six."""
    left = (716, *[204] * 4, *[102] * 6)
    return Network("GPT-2 small", 12, 12, Pruning(tokens=tuple(n / 1024 for n in left), values=0.2, progressive=0.1))


def medium() -> Network:
    """All in two layers, then about 921, 819 in two, 614 in six and 307; heads 16, from the 17th layer on 13, from the 23rd on 10."""
    left = (1024, 921, *[819] * 2, *[614] * 6, *[307] * 13)
    heads = (*[16] * 15, *[13] * 6, *[10] * 2)
    pruning = Pruning(tokens=tuple(n / 1024 for n in left), heads=tuple(n / 16 for n in heads), values=0.3, progressive=0.1)
    return Network("GPT-2 medium", 24, 16, pruning)


def model(network: Network, path: Path) -> None:
    """Layers of attention on inputs: queries [heads, 1, width], keys and values [heads, tokens, width]; and a product with weights."""
    nodes, inputs, outputs, constants = [], [], [], []
    rng = np.random.default_rng(1)

    def constant(array: ArrayLike) -> str:
        constants.append(numpy_helper.from_array(np.asarray(array), f"constant{len(constants)}"))
        return constants[-1].name

    def op(kind: str, *sources: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, sources, [f"value{len(nodes)}"], name=f"node{len(nodes)}", **attributes))
        return nodes[-1].output[0]

    def dequantized(x: str, scale: float, zero: ArrayLike) -> str:
        return op("DequantizeLinear", x, constant(np.float32(scale)), constant(zero))

    def quantized(x: str, scale: float, zero: ArrayLike) -> str:
        return dequantized(op("QuantizeLinear", x, constant(np.float32(scale)), constant(zero)), scale, zero)

    def given(name: str, rows: int, scale: float) -> str:
        inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT8, (network.heads, rows, WIDTH)))
        return dequantized(name, scale, np.int8(0))

    for layer in range(network.layers):
        q, k, v = (
            given(f"{name}{layer}", rows, scale) for name, rows, scale in (("q", 1, Q_SCALE), ("k", TOKENS, K_SCALE), ("v", TOKENS, 1 / 64))
        )
        scores = quantized(op("MatMul", q, op("Transpose", k, perm=[0, 2, 1])), SCORE_SCALE, np.int16(0))
        shares = quantized(op("Softmax", scores, axis=-1), 1 / 255, np.uint8(0))
        mixed = quantized(op("MatMul", shares, v), 1 / 64, np.int8(0))
        beside = op("Reshape", op("Transpose", mixed, perm=[1, 0, 2]), constant(np.array([1, network.heads * WIDTH])))
        weights = rng.integers(-127, 128, (network.heads * WIDTH, COLUMNS)).astype(np.int8)
        product = op("MatMul", beside, dequantized(constant(weights), 1 / 1024, np.int8(0)))
        name = f"out{layer}"
        nodes.append(helper.make_node("QuantizeLinear", [product, constant(np.float32(1 / 64)), constant(np.int8(0))], [name]))
        outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT8, (1, COLUMNS)))
    graph = helper.make_graph(nodes, network.name, inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


@dataclass(frozen=True)
class Run:
    """octets: of keys and values, as they were fetched. low: heads whose low bits were."""

    cycles: int
    octets: int
    low: int


def simulator(path: Path) -> Path:
    """Of the machine for all programs. path: of a model."""
    write_project(compile_model(path, MACHINE), BUILD / "project")
    return build_library(BUILD / "project" / VERILOG, TOP, BUILD / "simulators", optimise="-O1")


def run(network: Network, path: Path, library: Path, inputs: dict[str, NDArray], pruning: Pruning) -> Run:
    """On the Verilated machine; its results must be the executor's. path: of the network's model."""
    program = compile_model(path, MACHINE, pruning)
    Manifest.of(program, rom=False).save(BUILD / "project")
    with open_device(BUILD / "project", library=library) as device:
        device.upload()
        device.device.record_activity()  # pyright: ignore[reportAttributeAccessIssue] - a Verilated one
        found = device.run_integers(inputs)
        activity, cycles = device.device.activity(), device.counters()["cycles"]  # pyright: ignore[reportAttributeAccessIssue]
        took = spans(activity, device.manifest)
    values = execute(program.graph, inputs, lanes=MACHINE.lanes)
    for port in program.graph.outputs:
        assert (found[port.name] == values[port.tensor.name]).all(), f"{port.name}: the hardware's results differ from the executor's"
    cached = {f"{name}{layer}" for name in "kv" for layer in range(network.layers)}
    attention = {op.name for op in program.graph.operators if any(b.tensor.name in cached for b in op.inputs)}
    octets = sum(span.external_bytes for span in took if span.operator in attention)
    watched = [op.name for op in program.graph.operators if isinstance(op, Softmax) and op.threshold is not None]
    return Run(cycles, octets, sum(bool(values[flag_of(name)].any()) for name in watched))


def arrays(network: Network) -> dict[str, NDArray]:
    """Queries that want the keys of one to three tokens, which are the same for all heads of a layer and mostly of all layers; some that
    want none."""
    rng, found = np.random.default_rng(2), {}
    wanted = rng.permutation(TOKENS)[:64]
    for layer in range(network.layers):
        keys = np.clip(np.rint(rng.normal(0, 30, (network.heads, TOKENS, WIDTH))), -127, 127).astype(np.int8)
        queries = np.empty((network.heads, 1, WIDTH), np.int8)
        for head in range(network.heads):
            tokens = rng.choice(wanted, rng.integers(1, 4), replace=False)
            wish = keys[head, tokens].sum(axis=0) / len(tokens) + rng.normal(0, 10, WIDTH)
            size = 0.05 if rng.random() < FLAT else 0.6
            queries[head] = np.clip(np.rint(size * wish), -127, 127)
        values = rng.integers(-127, 128, keys.shape).astype(np.int8)
        found |= {f"q{layer}": queries, f"k{layer}": keys, f"v{layer}": values}
    return found


def steps_of(network: Network) -> Iterator[tuple[str, Pruning]]:
    """One thing more left out each time."""
    p = network.pruning
    yield "nothing", Pruning()
    yield "tokens", Pruning(tokens=p.tokens)
    if p.heads:
        yield "tokens, heads", Pruning(tokens=p.tokens, heads=p.heads)
    yield "tokens, heads, values" if p.heads else "tokens, values", Pruning(tokens=p.tokens, heads=p.heads, values=p.values)
    yield "and low bits", p


def table(network: Network) -> Iterator[str]:
    yield f"| {network.name}, left out | kB of keys and values | times less | cycles | times less | heads with low bits |"
    yield "|---|---:|---:|---:|---:|---:|"
    path, inputs, whole = BUILD / "model.onnx", arrays(network), None
    model(network, path)
    library = simulator(path)
    for name, pruning in track(list(steps_of(network)), network.name):
        found = run(network, path, library, inputs, pruning)
        whole = whole or found
        less = f"{whole.octets / found.octets:.1f}", f"{whole.cycles / found.cycles:.1f}"
        cells = f"{found.octets / 1000:,.0f}", less[0], f"{found.cycles:,}", less[1], f"{found.low}" if pruning.progressive else ""
        yield f"| {name} | {' | '.join(cells)} |"


NETWORKS = {"small": small, "medium": medium}


def main(name: str) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    write_section(PAGE, f"bench_gpt2_{name}", "\n".join([LEGEND, *table(NETWORKS[name]())]))


if __name__ == "__main__":
    main(sys.argv[1])
