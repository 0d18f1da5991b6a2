"""Each engine alone, between a scratchpad and a memory, against the machine's golden model."""

from dataclasses import asdict, replace

import pytest
from celosia.gen.platforms import Ecp5Platform
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
INT4 = replace(SQUARE, weight_bits=4, factor_bits=8, residual=1)  # of the ECP5's blocks
SHARED = replace(WIDE, multiplier_bits=27, factor_bits=8)
FACTORED = replace(TALL, factor_bits=8)
TWO_WORDS = replace(WIDE, residual=1)  # a row of r, at the least
HALF_WORDS = replace(TALL, residual=1)


CASES = [
    (Engine.COMPUTE, SQUARE),
    (Engine.COMPUTE, WIDE),
    (Engine.COMPUTE, FACTORED),
    (Engine.COMPUTE, ODD),
    (Engine.COMPUTE, INT4),
    (Engine.COMPUTE, SHARED),
    (Engine.COMPUTE, TWO_WORDS),
    (Engine.COMPUTE, HALF_WORDS),
    (Engine.VECTOR, SQUARE),
    (Engine.VECTOR, ODD),
    (Engine.LOAD, TALL),
    (Engine.LOAD, ODD),
    (Engine.STORE, TALL),
    (Engine.STORE, ODD),
]


def _id(engine: Engine, m: MachineParameters) -> str:
    return f"{engine.name.lower()}-{m.rows}x{m.cols}-int{m.weight_bits}-{m.multiplier_bits}-{m.factor_bits}{'-residual' * m.residual}"


@pytest.mark.parametrize(("engine", "machine"), CASES, ids=[_id(*case) for case in CASES])
def test_engine(engine: Engine, machine: MachineParameters) -> None:
    about = {"engine": engine.name, "machine": asdict(machine), "seed": 1, "cases": 24}
    platform = Ecp5Platform() if machine == INT4 else None
    run_bench(EngineBench(engine, machine), "celosia.tb.test_engine", about, platform=platform)
