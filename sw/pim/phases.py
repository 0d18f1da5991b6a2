"""How long the controller is busy with the macros of a layer's part, and with which commands: of one channel, as all do the same."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain, tee

from ...rtl.arch.dram import POSTPONED_REFRESHES, Command, Dram
from ...rtl.arch.pim import Macro
from .cache import CacheMap
from .mapping import Macros, MatrixMap, sums_of
from .operations import Operation, operations
from .schedule import ChannelSchedule

TO_COMMAND = 5  # cycles from a macro on the controller's port to its first command
FROM_BUS = 3  # from the last burst on a channel's data bus to the controller's port
_PAUSE = 200  # cycles behind which no command before counts


@dataclass(frozen=True, kw_only=True)
class Phase:
    """cycles: from the first macro to the last data. counts: of the busiest channel's commands. written, read: columns of macros' data."""

    cycles: int
    counts: Mapping[Command, int]
    written: int
    read: int


def phase(dram: Dram, macros: Macros, scattered: Iterable[Operation] = ()) -> Phase:
    """Of macros, and then operations that are not yet macros, behind others which left a row open and the registers' mode.

    Channel 0 is simulated: it is a busiest one. Without refreshes: see `with_refreshes`.
    """
    schedule = ChannelSchedule(dram, refresh=False)
    for_channel, for_data = tee(macros)
    list(schedule.run(operations(dram, sums_of(dram, 0, (dram.rows - 1) * dram.columns, 1))))
    before, start = dict(schedule.counts), schedule.now + _PAUSE
    own = [*operations(dram, (m for m in for_channel if m[1].get("channels", 1) & 1)), *scattered]
    *_, last = schedule.run(own, start)
    written, read = _columns(dram, for_data)
    cycles = TO_COMMAND + schedule.now - start + dram.timing.burst
    if last.command in (Command.RD, Command.RDMAC):
        # The channels' bursts come at the same time, and go on one after the other
        at_once = dram.accumulator_columns if last.command is Command.RDMAC else 0
        cycles += dram.timing.cl + FROM_BUS + (dram.channels - 1) * at_once
    counts = {command: count - before[command] for command, count in schedule.counts.items()}
    return Phase(cycles=max(cycles, written, read), counts=counts, written=written, read=read)


def _columns(dram: Dram, macros: Macros) -> tuple[int, int]:
    """That are written and read, of all channels."""
    written = read = 0
    for macro, fields in macros:
        channels = fields.get("channels", (1 << dram.channels) - 1).bit_count()
        match macro:
            case Macro.WRITE_BUFFER | Macro.WRITE:
                written += fields["count"]
            case Macro.WRITE_ACCUMULATORS:
                written += channels * dram.accumulator_columns
            case Macro.READ_ACCUMULATORS:
                read += channels * dram.accumulator_columns
            case Macro.READ:
                read += channels * fields["count"]
            case _:
                pass
    return written, read


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
    found = phase(of.dram, iter(()), _scatters(of, column * of.dram.column_bytes))
    return Phase(cycles=found.cycles, counts=found.counts, written=of.slots * of.parts * of.dram.channels, read=0)


def _scatters(of: CacheMap, token: int) -> Iterator[Operation]:
    """A byte to each bank, part by part; a sum that nobody reads opens a row in all of them."""
    opened = None
    for row, _ in of.value_places(token):
        if row != opened:
            yield Operation(Command.MACA, 0, row, 1)
        opened = row
        yield from (Operation(Command.WR, bank, row, 1, bank == 0) for bank in range(of.dram.banks))


def weighted(of: CacheMap, tokens: int) -> Phase:
    """Of all slots, none of which waits for its probabilities."""
    return _weighted(of, -(-tokens // of.dram.column_bytes))


@cache
def _weighted(of: CacheMap, columns: int) -> Phase:
    tokens = columns * of.dram.column_bytes
    return phase(of.dram, (macro for slot in range(of.slots) for macro in of.value_macros(slot, tokens)))
