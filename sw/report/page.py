"""The report: one HTML page without scripts or links, with a timeline, a table per operator and the roofline."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.steps import Engine
from ...rtl.arch.workers import engines, workers
from ..driver.device import DeviceError
from ..driver.network import Network
from ..driver.verilated import VerilatedDevice
from ..graph import GraphInput, Port
from .detections import picture
from .measure import OperatorUse, Span, operator_use, spans
from .memory import memory_picture
from .svg import svg_of

if TYPE_CHECKING:
    from ...rtl.arch.parameters import MachineParameters

WIDTH, MARGIN, ROW, LABEL = 1080, 30, 34, 90  # of the timeline, in pixels
COLOURS = {
    "MatMul": "#3b6ea8",
    "Add": "#7a9e3f",
    "Multiply": "#5f8f6b",
    "Rescale": "#9db36b",
    "Softmax": "#c8553d",
    "Gelu": "#d9a441",
    "Table": "#e0b96b",
    "LayerNorm": "#8a5a9e",
    "Pick": "#4f9d9d",
    "Gather": "#7cb8b8",
    "Fetch": "#555555",
    "Transfer": "#777777",
    "Pim": "#2f7f6f",
    "Deform": "#a8643b",
    "transfer": "#888888",
}


def write_report(network: Network, path: Path, *, whole: Network | None = None, inputs: Mapping[str, NDArray] | None = None) -> Path:
    """Run the network once, on ``inputs`` by name, on which the boxes of a detector are drawn, or else on random ones (the cycles depend on
    them only where low bits are fetched as needed), and write the page to ``path``. whole: the network from which nothing is left out, to
    stand beside it.

    Raises DeviceError if the device can't record its activity.
    """
    manifest = network.manifest
    run, outputs = _run(network, inputs)
    uses = operator_use(run, manifest)
    counters = network.counters()
    beside = []
    if whole is not None:
        whole_run, _ = _run(whole, inputs)
        beside = [
            ("cycles", counters["cycles"], whole.counters()["cycles"]),
            ("multiply-accumulates", *(sum(use.macs for use in of) for of in (uses, operator_use(whole_run, whole.manifest)))),
            ("bytes to and from memory", *(sum(span.external_bytes for span in of) for of in (run, whole_run))),
        ]
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("page.html")
    kinds = {name: str(about["kind"]) for name, about in manifest.operators.items()}
    path.write_text(
        template.render(
            manifest=manifest,
            parameters=asdict(manifest.parameters),
            counters=counters,
            macs=sum(use.macs for use in uses),
            external_bytes=sum(span.external_bytes for span in run),
            engines=[
                (e, counters[f"{e.name.lower()}_busy"], counters[f"{e.name.lower()}_conflicts"]) for e in engines(manifest.parameters)
            ],
            uses=uses,
            beside=beside,
            timeline=_timeline(run, kinds, counters["cycles"], manifest.parameters),
            colours=COLOURS,
            detections=picture(inputs, outputs) if inputs else "",
            memory=memory_picture(manifest.memory) if manifest.memory else "",
            roofline=_roofline(uses, manifest.parameters),
        )
    )
    return path


def _run(network: Network, inputs: Mapping[str, NDArray] | None) -> tuple[list[Span], dict[str, NDArray]]:
    """The spans and the outputs of one run, by default on random inputs."""
    device, manifest, random = network.device, network.manifest, np.random.default_rng(1)
    if not isinstance(device, VerilatedDevice):
        raise DeviceError("a report needs a simulated device")
    network.upload()
    device.record_activity()
    arrays = inputs or {port.port.name: random_array(port.port, random) for port in manifest.inputs}
    outputs = network.run(arrays, manifest.last_position)
    return spans(device.activity(), manifest), outputs


def random_array(port: Port, random: np.random.Generator) -> NDArray:
    """Over the range of its numbers."""
    limits = port.tensor.format
    if isinstance(port, GraphInput) and port.choices:
        return random.integers(port.choices, size=port.shape, dtype=port.dtype)
    if port.dtype.kind == "f":
        return ((random.integers(limits.min, limits.max + 1, port.shape) - port.zero_point) * port.scale).astype(port.dtype)
    return random.integers(np.iinfo(port.dtype).min, np.iinfo(port.dtype).max + 1, port.shape).astype(port.dtype)


def _timeline(run: Sequence[Span], kinds: dict[str, str], cycles: int, p: "MachineParameters") -> dict:
    """Geometry of the timeline: bars with their tooltips, and ticks."""
    scale, rows = (WIDTH - LABEL) / cycles, workers(p)
    bars = [
        {
            "x": LABEL + span.start * scale,
            "y": rows.index(span.worker) * ROW + 4,
            "width": max(1.0, span.cycles * scale),
            "colour": COLOURS.get(kinds.get(span.operator, "") if span.engine >= Engine.COMPUTE else "", COLOURS["transfer"]),
            "text": f"{span.operator}: {span.cycles} cycles from {span.start}",
        }
        for span in run
    ]
    step = 10 ** int(np.log10(max(cycles, 10)))
    step = next(s for s in (step // 10, step // 5, step // 2, step) if cycles / max(s, 1) <= 12)
    ticks = [{"x": LABEL + c * scale, "text": f"{c:,}"} for c in range(0, cycles + 1, max(step, 1))]
    height = ROW * len(rows)
    return {
        "width": WIDTH + MARGIN,
        "height": height,
        "row": ROW,
        "bars": bars,
        "ticks": ticks,
        "workers": [worker.name for worker in rows],
    }


def _roofline(uses: Sequence[OperatorUse], p: "MachineParameters") -> str:
    """SVG: MACs per cycle of a unit against MACs per scratchpad byte, under the array's and the scratchpad ports' ceilings; of no
    products nothing."""
    from matplotlib.figure import Figure

    products = [use for use in uses if use.macs and use.engine == Engine.COMPUTE.name.lower()]
    if not products:
        return ""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    ports = 3 * p.word_bytes  # bytes per cycle: a compute unit's two read ports and its write port
    x = np.geomspace(0.1, 100, 200)
    axes.loglog(x, np.minimum(p.unit_macs, x * ports), color="black", linewidth=1.2)
    axes.annotate(f"peak {p.unit_macs} MACs per cycle of a unit", (100, p.unit_macs), ha="right", va="bottom", fontsize=8)
    axes.annotate(f"{ports} bytes per cycle", (0.12, 0.12 * ports * 1.3), fontsize=8, rotation=25)
    for use in products:
        intensity, rate = use.macs / use.scratchpad_bytes, use.macs / use.cycles
        axes.plot(intensity, rate, "o", color=COLOURS["MatMul"], markersize=5)
    labelled: list[tuple[float, float]] = []
    for use in sorted(products, key=lambda u: -u.macs):
        at = np.log10(use.macs / use.scratchpad_bytes), np.log10(use.macs / use.cycles)
        if all(abs(at[0] - other[0]) > 0.25 or abs(at[1] - other[1]) > 0.08 for other in labelled):
            labelled.append(at)
            axes.annotate(use.name, (10 ** at[0], 10 ** at[1]), xytext=(6, -3), textcoords="offset points", fontsize=7)
    axes.set_xlabel("MACs per scratchpad byte")
    axes.set_ylabel("MACs per cycle")
    axes.grid(True, which="both", alpha=0.2)
    return svg_of(figure)
