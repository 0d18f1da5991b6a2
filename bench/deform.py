"""The deformable convolution's forms on one machine, from the whole to the cheapest: `nox -s bench_deform` writes docs/blocks/deform.md.

A map of 64 x 64 x 256, from external memory to external memory, as in the operator study of CoDeNet (arXiv 2006.08357). Offsets are given,
in external memory too. Without a bound the taps are rows of external memory, which the load engine gathers by numbers that the vector
engine makes of the offsets. All results must be the integer executor's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from celosia.gen.pages import write_section
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.window import Window
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.driver.network import Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.golden.add import AddParameters
from celosia.sw.manifest import Manifest
from celosia.sw.report.measure import spans
from celosia.tb.graphs import Builder
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.progress import track

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "deform"
PAGE = ROOT / "docs" / "blocks" / "deform.md"
MACHINE = MachineParameters.from_dict(
    {
        **{"rows": 16, "cols": 16, "lanes": 8, "scratchpad_kib": 512, "banks": 16, "bus_bytes": 16, "pruning": 1},
        **{"deform_kernel": 3, "deform_free": 1, "deform_width": 64},
    }
)
BETWEEN = replace(MACHINE, deform_free=0, deform_bilinear=1)  # for squares between pixels
SIZE, CHANNELS, TAPS, BOUND = 64, 256, 9, 7
SPREAD = 2.5  # pixels, the deviation of the offsets
PAPER = {  # milliseconds, of each form
    "depthwise": {"regular": 1.9, "unbounded": 20.5, "bounded": 3.0, "square": 2.1, "between": None},
    "full": {"regular": 43.1, "unbounded": 59.0, "bounded": 43.4, "square": 43.4},
}
HEADER = (
    "| kernel | offsets | cycles | to none | bytes to and from memory | tap conflicts | engine's cycles for a pixel's word | MACs per cycle"
    " | paper, ms | to none |",
    f"|---|---|{'---:|' * 8}",
)
TEXT = {
    "regular": "none",
    "unbounded": "a tap, wherever, by the load engine",
    "bounded": f"a tap, within {BOUND} pixels",
    "square": f"a pixel, within {BOUND} pixels",
    "between": f"a pixel, within {BOUND} pixels, in sixteenths",
}


def from_onnx(form: str, *, full: bool) -> ir.Graph:
    """Of the forms that the engine does, and of kernels without offsets, imported."""
    random, nodes, constants = np.random.default_rng(1), list[onnx.NodeProto](), list[onnx.TensorProto]()

    def op(kind: str, *inputs: str | NDArray, **attributes: Any) -> str:
        names = []
        for value in inputs:
            if not isinstance(value, str):
                constants.append(numpy_helper.from_array(value, f"constant_{len(constants)}"))
            names.append(value if isinstance(value, str) else constants[-1].name)
        nodes.append(helper.make_node(kind, names, [f"value_{len(nodes)}"], name=f"node_{len(nodes)}", **attributes))
        return nodes[-1].output[0]

    def quantized(x: str, scale: float) -> str:
        parameters = np.float32(scale), np.int8(0)
        return op("DequantizeLinear", op("QuantizeLinear", x, *map(np.asarray, parameters)), *map(np.asarray, parameters))

    channels = CHANNELS if full else 1
    data = random.integers(-128, 128, (CHANNELS, channels, 3, 3)).astype(np.int8)
    weights = op(
        "DequantizeLinear", data, np.full(CHANNELS, 1 / (128 * 3 * channels**0.5), np.float32), np.zeros(CHANNELS, np.int8), axis=0
    )
    inputs = {"x": (1, CHANNELS, SIZE, SIZE)}
    x, about = quantized("x", 0.05), {"kernel_shape": [3, 3], "pads": [1] * 4, "group": 1 if full else CHANNELS}
    if form == "regular":
        y = op("Conv", x, weights, **about)
    else:
        count = 2 * TAPS if form == "bounded" else 1
        inputs["offsets"] = (1, count, SIZE, SIZE)
        offsets = op(
            "Clip",
            quantized("offsets", 1 / 16 if form == "between" else 1.0),
            *(np.asarray(np.float32(limit)) for limit in (1 - BOUND, BOUND - 1)),
        )
        grid = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], np.float32).reshape(1, -1, 1, 1)
        y = op("DeformConv", x, weights, op("Mul", offsets, grid) if count == 1 else offsets, **about)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    result = helper.make_tensor_value_info(quantized(y, 0.05), TensorProto.FLOAT, inputs["x"])
    graph = helper.make_graph(nodes, "net", infos, [result], constants)
    path = BUILD / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10), path)
    return import_model(path)


def unbounded(*, full: bool) -> ir.Graph:
    """Of taps anywhere: a line of results at a time, whose taps are fetched from a map with a border of zeros in external memory."""
    builder, width = Builder(1), SIZE + 2
    x = builder.tensor(width * width, CHANNELS, 8)
    dy, dx = (replace(builder.tensor(SIZE, SIZE * TAPS, 8), scale=1.0, zero_point=0) for _ in range(2))
    grid = np.indices((SIZE, SIZE, 3, 3))
    places = [(grid[i] + grid[i + 2]).reshape(SIZE, -1).astype(np.int16) for i in range(2)]  # in the map with its border
    y, x_place = (_sum(builder, offset, place) for offset, place in zip((dy, dx), places, strict=True))
    numbers = _add(builder, y, x_place, float(width), (0, width * width - 1))
    weights = builder.constant(CHANNELS, TAPS * (CHANNELS if full else 1))
    window = Window(height=SIZE, width=TAPS, kernel=(1, TAPS), strides=(1, TAPS), groups=1 if full else CHANNELS)
    out = builder.tensor(SIZE * SIZE, CHANNELS, 8)
    for line in range(SIZE):
        taken = replace(builder.tensor(SIZE * TAPS, CHANNELS, 8), scale=x.scale, zero_point=x.zero_point)
        of_line = replace(numbers.whole, row=line, rows=1)
        builder.operators.append(ir.Fetch(name=f"fetch{line}", node=f"fetch{line}", source=x.whole, numbers=of_line, out=taken.whole))
        results = ir.Block(tensor=out, row=line * SIZE, col=0, rows=SIZE, cols=CHANNELS)
        builder.product([ir.MatMulPart(a=taken.whole, b=weights.whole, out=results)], transposed=True, window=window)
    return builder.graph([x, dy, dx], [out])


def _sum(builder: Builder, offset: ir.Tensor, places: NDArray[np.int16]) -> ir.Tensor:
    """Within the map and its border."""
    constant = ir.Tensor(name=f"places.{offset.name}", rows=offset.rows, cols=offset.cols, bits=16, scale=1.0, zero_point=0, data=places)
    builder.tensors[constant.name] = constant
    return _add(builder, offset, constant, 1.0, (0, SIZE + 1))


def _add(builder: Builder, a: ir.Tensor, b: ir.Tensor, a_scale: float, limits: tuple[int, int]) -> ir.Tensor:
    out = replace(builder.tensor(a.rows, a.cols, 16), scale=1.0, zero_point=0)
    about = {"a_scale": a_scale, "a_zero_point": 0, "b_scale": 1.0, "b_zero_point": 0, "out_scale": 1.0, "out_zero_point": 0}
    parameters = replace(AddParameters.from_scales(**about, out=out.format), low=limits[0], high=limits[1])
    builder.operators.append(ir.Add(**builder.names, a=a.whole, b=b.whole, out=out.whole, parameters=parameters))
    return out


def inputs_of(graph: ir.Graph) -> dict[str, NDArray]:
    """Maps over their whole range, and offsets of SPREAD."""
    random, found = np.random.default_rng(2), {}
    for port in graph.inputs:
        is_map = port.tensor.cols == CHANNELS
        values = random.integers(-128, 128, port.shape) * port.scale if is_map else random.normal(0, SPREAD, port.shape)
        found[port.name] = (values if port.dtype.kind == "f" else np.rint(values / port.scale)).astype(port.dtype)
    return found


@cache
def simulator(machine: MachineParameters) -> Path:
    write_project(compile_graph(from_onnx("square", full=False), machine), BUILD / "project")
    return build_library(BUILD / "project" / VERILOG, TOP, BUILD / "simulators", optimise="-O3")


def measured(graph: ir.Graph, machine: MachineParameters) -> Mapping[str, int]:
    """Counters of a run, and the bytes that it moves."""
    program, library = compile_graph(graph, machine), simulator(machine)
    inputs, manifest = inputs_of(graph), Manifest.of(program, rom=False)
    values = execute(graph, inputs, lanes=machine.lanes)
    with VerilatedDevice(library, memory_bytes=program.memory_bytes, latency=DEFAULT_RESOURCES.latency) as device:
        network = Network(device, manifest)
        network.upload()
        device.record_activity()
        found = network.run_integers(inputs)
        assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
        return {**network.counters(), "bytes": sum(span.external_bytes for span in spans(device.activity(), manifest))}


def lines() -> Iterator[str]:
    for kernel, times in PAPER.items():
        full, regular = kernel == "full", 0
        for form, paper in track(times.items(), kernel):
            machine = BETWEEN if form == "between" else MACHINE
            counters = measured(unbounded(full=full) if form == "unbounded" else from_onnx(form, full=full), machine)
            cycles, macs = counters["cycles"], SIZE**2 * CHANNELS * TAPS * (CHANNELS if full else 1)
            regular = regular or cycles
            words = SIZE**2 * CHANNELS // machine.word_bytes
            cells = (
                *(kernel, TEXT[form], f"{cycles:,}", f"{cycles / regular:.2f}", f"{counters['bytes']:,}"),
                *(f"{counters['tap_conflicts']:,}", f"{counters['deform_busy'] / words:.2f}" if counters["deform_busy"] else ""),
                *(f"{macs / cycles:.0f}", *((f"{paper}", f"{paper / times['regular']:.2f}") if paper else ("", ""))),
            )
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    write_section(PAGE, "bench_deform", "\n".join([*HEADER, *lines()]))


if __name__ == "__main__":
    main()
