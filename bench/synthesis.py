"""Area, clock, latency and throughput of the blocks: `nox -s synth` writes the tables of docs/blocks/.

What is measured is kept, so a second run measures only the blocks that changed.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from celosia.gen.blocks import BLOCKS, DeformBlock
from celosia.gen.pages import write_section
from celosia.gen.platforms import PLATFORMS
from celosia.gen.synthesis import measure_ecp5, measure_xilinx
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.activation import Activation
from celosia.rtl.add import Add
from celosia.rtl.arch.activation import ActivationCircuit
from celosia.rtl.arch.attention import AttentionCircuit
from celosia.rtl.arch.blocks import LaneCircuit
from celosia.rtl.arch.dram import PRESETS
from celosia.rtl.arch.formats import INT8, INT16, UINT8, UINT16
from celosia.rtl.arch.kbest import KBestCircuit
from celosia.rtl.arch.layernorm import LayerNormCircuit
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.sdram import ULX3S
from celosia.rtl.arch.softmax import SoftmaxCircuit
from celosia.rtl.arch.topk import TopKCircuit
from celosia.rtl.attention import Attention
from celosia.rtl.compute import ComputeUnit
from celosia.rtl.kbest import KBest
from celosia.rtl.layernorm import LayerNorm
from celosia.rtl.mac_columns import MacColumns
from celosia.rtl.memory.block import BlockMemory
from celosia.rtl.memory.sdram import SdramController
from celosia.rtl.memory.share import Share
from celosia.rtl.multiply import Multiply
from celosia.rtl.pim.channel import Channel
from celosia.rtl.pim.scheduler import Scheduler
from celosia.rtl.softmax import Softmax
from celosia.rtl.sorter import odd_even_merge_sort
from celosia.rtl.topk import TopK
from celosia.rtl.vector import VectorEngine
from celosia.sw.golden.activation import ActivationParameters, ActivationTable
from celosia.sw.golden.softmax import SoftmaxParameters
from rich.progress import Progress
from sorter import Exchangers
from topk import cycles

BLOCK_PAGES = Path(__file__).parents[1] / "docs" / "blocks"
LANES = 1, 4, 16


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """elements: per cycle, or MACs of a compute unit. on_ecp5: whether its multiplier blocks are wide enough. crowded: as of
    `measure_ecp5`."""

    label: str
    make: Callable[[], Any]
    elements: int
    on_ecp5: bool = True
    crowded: bool = False


def in_lanes(count: int) -> str:
    return f"{count} lane{'s' * (count > 1)}"


def by_lanes(label: str, make: Callable[[int], Any]) -> list[Configuration]:
    return [Configuration(label=f"{label}, {in_lanes(n)}", make=lambda n=n: make(n), elements=n) for n in LANES]


def softmax(lanes: int, *, in_scale: float | None = None, **formats: Any) -> Softmax:
    """With a scale it is built in."""
    circuit = SoftmaxCircuit(lanes=lanes, **formats)
    if in_scale is None:
        return Softmax(circuit)
    parameters = SoftmaxParameters.from_scales(circuit, in_scale=in_scale)
    return Softmax(circuit, {field.name: getattr(parameters, field.name) for field in circuit.record.fields})


def activation(lanes: int, *, built_in: bool, **parameters: Any) -> Activation:
    """GELU of arguments and results up to 8."""
    circuit = ActivationCircuit(lanes=lanes, **parameters)
    if not built_in:
        return Activation(circuit)
    scales = {"in_scale": 8 / circuit.source.max, "in_zero_point": 0, "out_scale": 8 / circuit.out.max, "out_zero_point": 0}
    if circuit.tabulated:
        return Activation(circuit, ActivationTable.from_scales(circuit, **scales).entries)
    return Activation(circuit, asdict(ActivationParameters.from_scales(circuit, **scales)))


FITTED = {12: {"lut_rows": 2, "requantizer_columns": 4}}  # 12 x 12 multipliers and those of the rest are more than the ECP5-85F's 156


def machine(size: int) -> MachineParameters:
    """A square array with as small a vector engine as there is."""
    return MachineParameters.from_dict({"rows": size, "cols": size, "lanes": 1, "scratchpad_kib": 64, **FITTED.get(size, {})})


def engine(lanes: int) -> Configuration:
    label = f"words of 8 bytes, {in_lanes(lanes)}"
    return Configuration(label=label, make=lambda: VectorEngine(replace(machine(8), lanes=lanes)), elements=lanes)


def by_size(label: str, make: Callable[[MachineParameters], Any], *sizes: int) -> list[Configuration]:
    return [Configuration(label=f"{label}, {n} x {n}", make=lambda n=n: make(machine(n)), elements=n * n) for n in sizes]


def sorter(lanes: int) -> Exchangers:
    """As many comparators as a sorter of 1,024 scores and their indices needs to take no more cycles than the top-k engine."""
    scores, circuit = np.random.default_rng(1).integers(INT16.min, INT16.max + 1, 1024), TopKCircuit(lanes=lanes, row_elements=1024)
    _, (taken,) = cycles(circuit, [scores], 128)
    comparisons = sum(map(len, odd_even_merge_sort(len(scores))))
    return Exchangers(-(-comparisons // taken), key_bits=circuit.source.bits, index_bits=10)


def best(k: int, index_bits: int, lanes: int) -> Configuration:
    label = f"{k} of int16, indices of {index_bits} bits, {in_lanes(lanes)}"
    circuit = KBestCircuit(k=k, index_bits=index_bits, lanes=lanes)
    return Configuration(label=label, make=lambda: KBest(circuit), elements=lanes)


def columns(label: str, **parameters: int) -> Configuration:
    """What of the compute unit grows with rows times columns."""
    label = f"array, accumulators and requantizers, {label}, 8 x 8"
    p = replace(machine(8), **parameters)
    return Configuration(
        label=label, make=lambda: MacColumns(p), elements=64, on_ecp5=p.multiplier_bits == PLATFORMS["ecp5"].multiplier_bits
    )


def deform(label: str, **parameters: Any) -> Configuration:
    block = DeformBlock(**parameters)
    return Configuration(
        label=f"{label}, {block.channels} channels", make=lambda: BLOCKS["deform"].make(block), elements=block.channels * block.taps
    )


def sdram(bus_bytes: int) -> Configuration:
    return Configuration(label=f"SDRAM of ULX3S, {bus_bytes} bytes", make=lambda: SdramController(ULX3S, bus_bytes), elements=1)


CONFIGURATIONS = {
    "activation": [
        *by_lanes("int8 to int8, table built in", lambda lanes: activation(lanes, built_in=True, source=INT8, out=INT8)),
        *by_lanes("int8 to int8", lambda lanes: activation(lanes, built_in=False, source=INT8, out=INT8)),
        *by_lanes("GELU, int16 to int16, scales built in", lambda lanes: activation(lanes, built_in=True)),
        *by_lanes("GELU, int16 to int16", lambda lanes: activation(lanes, built_in=False)),
    ],
    "add": by_lanes("int16 to int16", lambda lanes: Add(LaneCircuit(lanes=lanes))),
    "multiply": by_lanes("int16 to int16", lambda lanes: Multiply(LaneCircuit(lanes=lanes))),
    "softmax": [
        *by_lanes("int8 to uint8, scale built in", lambda lanes: softmax(lanes, in_scale=0.1, source=INT8, out=UINT8)),
        *by_lanes("int8 to uint8", lambda lanes: softmax(lanes, source=INT8, out=UINT8)),
        *by_lanes("int16 to uint16", lambda lanes: softmax(lanes, source=INT16, out=UINT16)),
    ],
    "layernorm": by_lanes("int16 to int16", lambda lanes: LayerNorm(LayerNormCircuit(lanes=lanes))),
    "attention": by_lanes("int16 scores to int8", lambda lanes: Attention(AttentionCircuit(lanes=lanes))),
    "topk": [
        *by_lanes("indices of 1,024 int16", lambda lanes: TopK(TopKCircuit(lanes=lanes, row_elements=1024))),
        *by_lanes("a sorter's comparators alone, as fast as the engine", sorter),
    ],
    "kbest": [
        best(k, index_bits, lanes) for k, index_bits, lanes in ((1, 32, 16), (2, 8, 8), (4, 8, 8), (8, 32, 1), (8, 16, 16), (64, 32, 1))
    ],
    "compute": [
        *by_size("unit", ComputeUnit, 8, 12, 16),
        columns("int8"),
        columns("int8, 27-bit multipliers, no depthwise taps", multiplier_bits=27, depthwise_taps=0),
        *(
            columns(f"int8, the same, {n} columns a requantizer", multiplier_bits=27, depthwise_taps=0, requantizer_columns=n)
            for n in (4, 8)
        ),
        columns("int4, no depthwise taps", weight_bits=4, depthwise_taps=0),
        columns("int4, 27-bit multipliers, no depthwise taps", weight_bits=4, multiplier_bits=27, depthwise_taps=0),
        columns("int4, factors, no depthwise taps", weight_bits=4, depthwise_taps=0, factor_bits=8),
    ],
    "vector": [engine(lanes) for lanes in (1, 4)],
    "pim": [
        *(Configuration(label=f"scheduler, {name}", make=lambda dram=dram: Scheduler(dram), elements=1) for name, dram in PRESETS.items()),
        *(Configuration(label=f"channel, {name}", make=lambda dram=dram: Channel(dram), elements=1) for name, dram in PRESETS.items()),
    ],
    "memory": [
        *(sdram(bus_bytes) for bus_bytes in (4, 8)),
        Configuration(label="two masters on one slave, 8 bytes", make=lambda: Share(8), elements=1),
        Configuration(label="64 KiB of blocks, 8 bytes", make=lambda: BlockMemory(8, 1 << 16), elements=1),
    ],
    "deform": [deform("3 x 3, squares of pixels, int4", channels=8, weight_bits=4)],
    "accelerator": [replace(of_size, crowded=True) for of_size in by_size("1 lane, 64 KiB", Accelerator, 8)],
}

HEADER = (
    ("configuration", "---"),
    *((name, "---:") for name in ("LUT4", "COMB placed", "FF", "MULT18", "DP16KD", "MHz", "latency", "per cycle")),
    *((name, "---:") for name in ("xcup LUT", "FF", "DSP", "RAMB36")),
)
LEGEND = """
Lattice ECP5 (LFE5U-85F, speed grade 6): cells after synthesis, without wide LUTs; TRELLIS_COMB (LUTs, carry, distributed memory) and
clock after place and route, out of context, one seed, by nextpnr's static placer or, where that finds no end, its heap placer; routed by
router1, the accelerator by router2, since router1 finds no end. Xilinx UltraScale+ (xcup): cells after synthesis; LUTs of logic + LUTs
that are memory or shift registers. Each from the Verilog that `--fpga` writes for the family; with 27-bit multipliers not on the ECP5.
Latency in cycles. Per cycle: elements, MACs of the compute unit or the deform engine, commands of the PIM controller, or at most so many
beats, of SDRAM words, in each direction.
"""


def on_ecp5(block: Any, name: str, *, crowded: bool) -> list[str]:
    ecp5 = measure_ecp5(to_verilog(block, name=name, platform=PLATFORMS["ecp5"]), top=name, crowded=crowded)
    placed = ecp5.placement
    comb, mhz = (f"{placed.comb:,}", f"{placed.mhz:.0f}") if placed else ("does not fit", "")
    return [f"{ecp5.lut4:,}", comb, f"{ecp5.ff:,}", f"{ecp5.mult18}", f"{ecp5.dp16k}", mhz]


def row(configuration: Configuration, name: str) -> list[str]:
    """Measure, and give the cells of one line of the table. A latency has what has one that is fixed."""
    block = configuration.make()
    ecp5 = on_ecp5(block, name, crowded=configuration.crowded) if configuration.on_ecp5 else [""] * 6
    xilinx = measure_xilinx(to_verilog(block, name=name, platform=PLATFORMS["ultrascale"]), top=name)
    return [
        *(configuration.label, *ecp5, f"{getattr(block, 'latency', '')}", f"{configuration.elements}"),
        *(f"{xilinx.lut:,} + {xilinx.memory_lut:,}", f"{xilinx.ff:,}", f"{xilinx.dsp}", f"{xilinx.ramb36 + xilinx.ramb18 / 2:g}"),
    ]


def table(name: str, configurations: list[Configuration], progress: Progress) -> str:
    """Measure and lay out the configurations of one page."""
    rows = [[title for title, _ in HEADER], [line for _, line in HEADER]]
    for configuration in progress.track(configurations, description=name):
        rows.append(row(configuration, name))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def main() -> None:
    """The pages of the blocks that are named, or all."""
    with Progress() as progress:
        for name in progress.track(sys.argv[1:] or list(CONFIGURATIONS), description="blocks"):
            write_section(BLOCK_PAGES / f"{name}.md", "synth", f"{LEGEND}\n{table(name, CONFIGURATIONS[name], progress)}")


if __name__ == "__main__":
    main()
