"""How long a step takes at the least: the cost model of the first schedule."""

from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import Engine, Step


def ideal_cycles(step: Step, p: MachineParameters) -> int:
    """Cycles of a step without start-up, stalls or memory latency."""
    c = step.command
    match step.engine:
        case Engine.LOAD | Engine.STORE:
            return c["rows"] * c["words"] * p.beats_per_word
        case Engine.COMPUTE:
            tiles = c["taps_y"] * c["taps_x"] * -(-c["k"] // p.rows) * -(-c["n"] // p.cols)
            return max(c["m"] * c["lines"], p.cols) * tiles
        case Engine.VECTOR:
            return c["rows"] * -(-c["cols"] // p.lanes)
