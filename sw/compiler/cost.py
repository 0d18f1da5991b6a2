"""How long a step takes at the least: the cost model of the first schedule."""

from collections.abc import Mapping

from ...rtl.arch.parameters import TILE_CYCLES, MachineParameters
from ...rtl.arch.pim import Macro
from ...rtl.arch.steps import PRODUCT, Engine, Step, VectorOperation, place_bits

PICK_PASSES = 4  # over a row of int8 of which the largest are picked: it comes, two digits, and what is chosen (docs/blocks/topk.md)


def tiles_of_b(command: Mapping[str, int], p: MachineParameters) -> int:
    """Tiles that a compute command loads into the array, one after the other."""
    c = command
    return c["taps_y"] * c["taps_x"] * -(-c["k"] // p.rows) * -(-c["n"] // p.cols)


def load_cycles(p: MachineParameters) -> int:
    """Of a tile of b."""
    return -(-p.cols // p.b_words)


def rows_read(command: Mapping[str, int]) -> int:
    """Rows of a that a compute command reads for each tile: those of its windows, and those that it skips between them."""
    c = command
    return c["lines"] * (c.get("skip_first", 0) + (c["m"] - 1) * (c.get("skip", 0) + 1) + 1)


def words_read(command: Mapping[str, int], p: MachineParameters) -> int:
    """Words of a that a compute command reads for each tile: where rows of a line end in the same word, it is read once."""
    c, rows = command, rows_read(command)
    if not p.reads_any_byte or c["m"] == 1:
        return rows
    between = (c["m"] - 1) * c["x_step"] >> place_bits(p.rows)  # the words in which a line's first and last window end
    return min(rows, c["lines"] * (between + 2))


def compute_cycles(command: Mapping[str, int], p: MachineParameters) -> int:
    """As `ideal_cycles`, of a compute command."""
    c = command
    writes = 4 if c.get("repeated") and not c.get("packed") else 1
    results, rows = c["lines"] * c["m"] * -(-c["n"] // p.cols) * max(p.requantizer_columns, writes), rows_read(c)
    a_tile = max(rows, load_cycles(p), p.single_cycles if rows == 1 else TILE_CYCLES)
    return max(a_tile * tiles_of_b(c, p), results)


def bank_cycles(command: Mapping[str, int], p: MachineParameters, *, linked: bool) -> float:
    """Of a compute command, as long as the banks need for what all units read, if they do the like. linked: its a comes from no bank."""
    c = command
    tiles = tiles_of_b(c, p)
    a, b = 0 if linked else words_read(c, p) * tiles, (p.cols if c["b_transposed"] else p.rows) * tiles
    return (a + b + -(-c["n"] // p.cols) * p.channel_words) * p.units / p.banks


def pim_cycles(command: Mapping[str, int], p: MachineParameters) -> int:
    """As `ideal_cycles`, of a PIM command: of a product's groups each takes two switches of the mode, start values and sums."""
    c, dram = command, p.dram
    assert dram
    t = dram.timing
    if c["operation"] == PRODUCT:
        return c["groups"] * (2 * t.mode + t.write_end + t.cl + (c.get("again", 0) + 1) * c["count"] * t.ccd_l)
    return (dram.banks if c["operation"] == Macro.SCATTER else c.get("count", 1)) * t.ccd_l


def deform_cycles(command: Mapping[str, int], p: MachineParameters) -> int:
    """As `ideal_cycles`, of a deformable convolution: its rows come in, and its pixels, or their taps, take a cycle each, or two between
    pixels of the map, behind the rows that the first ones reach."""
    c = command
    turns = (2 if c["form"] and c["fraction"] else 1) * (p.deform_kernel**2 if c["by_tap"] else 1)
    ahead = min(c["y_start"] + c["reach"] + 1, c["height"]) * c["width"]
    return ahead + c["groups"] * max(c["height"] * c["width"], turns * c["lines"] * c["columns"])


def ideal_cycles(step: Step, p: MachineParameters) -> int:
    """Cycles of a step without start-up, stalls or memory latency."""
    c = step.command
    match step.engine:
        case Engine.LOAD | Engine.STORE:
            return c["rows"] * c["words"] * p.beats_per_word
        case Engine.COMPUTE:
            return compute_cycles(c, p)
        case Engine.VECTOR:
            passes = PICK_PASSES if c["operation"] == VectorOperation.TOPK else 1
            return passes * c["rows"] * -(-c["cols"] // p.lanes)
        case Engine.PIM:
            return pim_cycles(c, p)
        case Engine.DEFORM:
            return deform_cycles(c, p)
