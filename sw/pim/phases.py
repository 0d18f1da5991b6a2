"""How long the controller is busy with the macros of a layer's part, and with which commands: of one channel, as all do the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain, tee

from ...rtl.arch.dram import POSTPONED_REFRESHES, Command, Dram
from ...rtl.arch.pim import Macro
from ..golden.pim_device import moved
from .cache import CacheMap
from .mapping import Macros, MatrixMap, sums_of
from .operations import operations
from .schedule import ChannelSchedule

TO_COMMAND = 8  # cycles from a macro on the controller's port to its first command
FROM_BUS = 3  # from the last burst on a channel's data bus to the controller's port
_PAUSE = 200  # cycles behind which no command before counts


@dataclass(frozen=True, kw_only=True)
class Phase:
    """cycles: from the first macro to the last data. counts: of the busiest channel's commands. written, read: columns of macros' data."""

    cycles: int
    counts: Mapping[Command, int]
    written: int
    read: int


def phase(dram: Dram, macros: Macros) -> Phase:
    """Of macros, behind others which left a row open and the registers' mode.

    Channel 0 is simulated: it is a busiest one. Without refreshes: see `with_refreshes`.
    """
    schedule = ChannelSchedule(dram, refresh=False)
    for_channel, for_data = tee(macros)
    list(schedule.run(operations(dram, sums_of(dram, 0, (dram.rows - 1) * dram.columns, 1))))
    before, start = dict(schedule.counts), schedule.now + _PAUSE
    own = operations(dram, (m for m in for_channel if m[1].get("channels", 1) & 1))
    *_, last = schedule.run(own, start)
    written, read = (sum(columns) for columns in zip(*(moved(dram, *macro) for macro in for_data), strict=True))
    cycles = TO_COMMAND + schedule.now - start + dram.timing.burst
    if last.command in (Command.RD, Command.RDMAC):
        # The channels' bursts come at the same time, and go on one after the other
        at_once = dram.accumulator_columns if last.command is Command.RDMAC else 0
        cycles += dram.timing.cl + FROM_BUS + (dram.channels - 1) * at_once
    counts = {command: count - before[command] for command, count in schedule.counts.items()}
    return Phase(cycles=max(cycles, written, read), counts=counts, written=written, read=read)


def with_refreshes(dram: Dram, cycles: float) -> float:
    """As if none fell into a pause: as many as may be postponed are made up at once, the rows closed before and opened behind them."""
    t = dram.timing
    return cycles / (1 - (t.rfc + (t.rp + t.rcd_mac) / POSTPONED_REFRESHES) / t.refi)


def is_faster(inside: Phase, columns: int) -> bool:
    """Whether banks compute in less time than so many columns take to the accelerator: it could compute as fast as they come, one a cycle.
    By this a mapper chooses between the banks and the compute unit."""
    return inside.cycles < columns


@cache
def product(matrix: MatrixMap) -> Phase:
    return phase(matrix.dram, matrix.macros())


@cache
def row_read(dram: Dram, columns: int) -> Phase:
    """A row of a matrix, from one bank."""
    return phase(dram, iter([(Macro.READ, {"channels": 1, "bank": 0, "row": 0, "column": 0, "count": columns})]))


def scores(of: CacheMap, token: int) -> Phase:
    """Of a token with itself and all before, its keys appended."""
    return _scores(of, token // of.outputs)


@cache
def _scores(of: CacheMap, group: int) -> Phase:
    token = group * of.outputs  # in channel 0
    slots = (macro for slot in range(of.slots) for macro in (*of.key_macros(slot, token), *of.score_macros(slot, token + 1)))
    return phase(of.dram, chain(of.query_macros(), slots))


def value_append(of: CacheMap, token: int) -> Phase:
    return _value_append(of, token // of.dram.column_bytes)


@cache
def _value_append(of: CacheMap, column: int) -> Phase:
    return phase(of.dram, of.scatter_macros(column * of.dram.column_bytes))


def weighted(of: CacheMap, tokens: int) -> Phase:
    """Of all slots, none of which waits for its probabilities."""
    return _weighted(of, -(-tokens // of.dram.column_bytes))


@cache
def _weighted(of: CacheMap, columns: int) -> Phase:
    tokens = columns * of.dram.column_bytes
    return phase(of.dram, (macro for slot in range(of.slots) for macro in of.value_macros(slot, tokens)))
