"""Each engine alone, between a scratchpad and a memory, against the machine's golden model."""

from dataclasses import asdict, replace

import pytest
from celosia.gen.platforms import PLATFORMS
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine
from celosia.tb.engine_bench import EngineBench
from celosia.tb.runner import run_bench

SQUARE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=16, accumulator_depth=32, row_elements=64)
WIDE = MachineParameters(rows=4, cols=8, lanes=2, scratchpad_kib=16, banks=2, accumulator_depth=32, row_elements=64)
TALL = MachineParameters(rows=8, cols=4, lanes=1, scratchpad_kib=16, banks=8, bus_bytes=4, accumulator_depth=32, row_elements=64)
ODD = MachineParameters(
    rows=12, cols=12, lanes=3, scratchpad_kib=16, banks=1, bus_bytes=8, accumulator_depth=32, row_elements=64, lut_rows=4
)
INT4 = replace(SQUARE, weight_bits=4, factor_bits=8, residual=1, b_words=4)
PRUNING = replace(SQUARE, pruning=1)
PICKS = replace(PRUNING, transformer=0)
LISTS = replace(TALL, pruning=1)  # words wider than the bus
# A row of r is two words or more.
SHARED = replace(WIDE, multiplier_bits=27, factor_bits=8, requantizer_columns=2, residual=1, b_words=2)
# Two rows of r share a word.
FACTORED = replace(TALL, factor_bits=8, requantizer_columns=4, residual=1, b_words=2)
# Words of one result; a single row, which the commands often have, is read at a tile a cycle.
COLUMN = replace(TALL, cols=1, residual=1)
# Rows of results side by side, pooled and repeated.
PACKING = replace(TALL, packing=1, residual=1, accumulator_depth=64)
PACKED_COLUMN = replace(COLUMN, packing=1)
PIM = replace(SQUARE, pim="aim", pim_channels=2)
PIM_WIDE = replace(SQUARE, rows=32, pim="hbm2", pim_channels=1)  # words wider than what is scattered
DEFORM = replace(INT4, b_words=1, deform_kernel=3, deform_reach=7, deform_width=20)
DEFORM_BETWEEN = replace(SQUARE, deform_kernel=3, deform_reach=2, deform_width=20, deform_bilinear=1)
DEFORM_FREE = replace(DEFORM_BETWEEN, deform_free=1, deform_masked=1)
DEFORM_5 = replace(SQUARE, deform_kernel=5, deform_reach=5, deform_width=12)
MADE_OF = {INT4: PLATFORMS["ecp5"], SHARED: PLATFORMS["ultrascale"]}


CASES = [
    (Engine.COMPUTE, SQUARE),
    (Engine.COMPUTE, WIDE),
    (Engine.COMPUTE, FACTORED),
    (Engine.COMPUTE, PACKED_COLUMN),
    (Engine.COMPUTE, PACKING),
    (Engine.COMPUTE, ODD),
    (Engine.COMPUTE, INT4),
    (Engine.COMPUTE, SHARED),
    (Engine.VECTOR, SQUARE),
    (Engine.VECTOR, INT4),
    (Engine.VECTOR, SHARED),
    (Engine.VECTOR, ODD),
    (Engine.VECTOR, PRUNING),
    (Engine.VECTOR, PICKS),
    (Engine.LOAD, TALL),
    (Engine.LOAD, ODD),
    (Engine.LOAD, LISTS),
    (Engine.LOAD, PRUNING),
    (Engine.STORE, TALL),
    (Engine.STORE, ODD),
    (Engine.PIM, PIM),
    (Engine.PIM, PIM_WIDE),
    (Engine.DEFORM, DEFORM),
    (Engine.DEFORM, DEFORM_BETWEEN),
    (Engine.DEFORM, DEFORM_FREE),
    (Engine.DEFORM, DEFORM_5),
]


def _id(engine: Engine, m: MachineParameters) -> str:
    array = f"{m.rows}x{m.cols}-int{m.weight_bits}-{m.multiplier_bits}"
    kinds = "residual", "packing", "pruning", "deform_kernel", "deform_bilinear", "deform_free"
    options = [name for name in kinds if getattr(m, name)] + ([] if m.transformer else ["no-transformer"])
    return "-".join([engine.name.lower(), array, str(m.factor_bits), *options, str(m.b_words)])


@pytest.mark.parametrize(("engine", "machine"), CASES, ids=[_id(*case) for case in CASES])
def test_engine(engine: Engine, machine: MachineParameters) -> None:
    about = {
        "engine": engine.name,
        "machine": asdict(machine),
        "seed": 1,
        "cases": 96 if machine.pruning and engine is Engine.VECTOR else 24,
    }
    run_bench(EngineBench(engine, machine), "celosia.tb.test_engine", about, platform=MADE_OF.get(machine))
