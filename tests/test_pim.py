"""The PIM controller on its DRAM: results, cycles, refreshes, fairness and errors. The referee watches every cycle."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.dram import MODE_FORMAT, PRESETS, Command, NumberFormat
from celosia.rtl.arch.pim import Macro, PimError
from celosia.sw.driver.dram_rules import rules
from celosia.sw.pim.operations import operations
from celosia.sw.pim.schedule import ChannelSchedule, Run
from celosia.tb.pim_bench import PimBench
from celosia.tb.pim_traffic import Traffic

AIM = replace(PRESETS["aim"], channels=2)
HBM = replace(PRESETS["hbm2"], channels=1)
INT8 = NumberFormat.INT8 << MODE_FORMAT
OF_BANK = {Command.ACT, Command.PRE, Command.RD, Command.WR, Command.MAC, Command.RDCP, Command.WRCP}
Macros = list[tuple[Macro, Mapping[str, int]]]


@contextmanager
def started(refresh: bool = True) -> Iterator[PimBench]:
    """A bench of AIM in INT8."""
    with PimBench(AIM, refresh=refresh) as bench:
        bench.macro(Macro.SET_MODE, mode=INT8)
        bench.finish()
        yield bench


def zeros(count: int) -> np.ndarray:
    return np.zeros((count, AIM.column_bytes), np.uint8)


@pytest.mark.parametrize("dram", [AIM, HBM], ids=["aim", "hbm2"])
def test_random_traffic_is_what_the_golden_device_does(dram) -> None:
    with PimBench(dram) as bench:
        traffic = Traffic(bench, seed=1)
        for part, stall in enumerate((0, 0.3, 0.8)):
            bench.stall(stall, part)
            for _ in range(60):
                traffic.random_macro()
            traffic.random_bursts(100 * part)
            bench.finish()
            traffic.check()
        assert bench.counts()[Command.REF] > 0


def commands_of(bench: PimBench) -> list[tuple[int, Command, int]]:
    """Cycle, command and bank of each command to channel 0; without the refreshes behind the last operation."""
    found = [(int(c["cycle"]), Command(c["command"]), int(c["bank"])) for c in bench.commands() if c["channel"] == 0]
    while found[-1][1] in (Command.REF, Command.PREA):
        found.pop()
    return [(cycle, command, bank if command in OF_BANK else 0) for cycle, command, bank in found]


def expected(runs: Iterable[Run]) -> list[tuple[int, Command, int]]:
    each = ((run.cycle + i * run.step, run.command, run.bank if run.command in OF_BANK else 0) for run in runs for i in range(run.commands))
    return sorted(each)


def random_macros(rng: Random, count: int) -> Macros:
    kinds = (Macro.READ, Macro.WRITE, Macro.MAC_BANK, Macro.MAC_ALL, Macro.COPY_TO_BUFFER, Macro.COPY_FROM_BUFFER, Macro.WRITE_BUFFER)
    macros: Macros = []
    for _ in range(count):
        place = {"bank": rng.randrange(16), "row": rng.randrange(3), "column": rng.randrange(40), "buffer": 0}
        macros.append((rng.choices(kinds, (8, 8, 4, 2, 4, 4, 1))[0], {**place, "count": rng.choice((1, 1, 4, 16))}))
    return macros


def passes(count: int) -> Macros:
    """A matrix of 24 columns a bank and row, of which rows of DRAM are full."""
    macros: Macros = [(Macro.WRITE_BUFFER, {"buffer": 0, "count": 24})]
    for number in range(count):
        row, column = divmod(24 * number, AIM.columns)
        product = {"row": row, "column": column, "buffer": 0, "count": 24}
        macros += [(Macro.WRITE_ACCUMULATORS, {}), (Macro.MAC_ALL, product), (Macro.READ_ACCUMULATORS, {})]
    return macros


@pytest.mark.parametrize("macros", [random_macros(Random(1), 300), random_macros(Random(2), 300), passes(160)], ids=["1", "2", "passes"])
def test_every_command_comes_in_its_first_legal_cycle(macros: Macros) -> None:
    """The scheduler's rule, from the referee's table: the same commands, each in the same cycle. So the bus idles only when nothing useful
    is legal."""
    all_macros: Macros = [(Macro.SET_MODE, {"mode": INT8}), *macros]
    written = {Macro.WRITE_BUFFER: lambda f: f["count"], Macro.WRITE: lambda f: f["count"]}
    written[Macro.WRITE_ACCUMULATORS] = lambda f: AIM.accumulator_columns
    with PimBench(AIM) as bench:
        bench.record()
        for macro, fields in all_macros:
            bench.macro(macro, channels=1, **fields)  # with two, their data share one way
        bench.write(zeros(sum(written[macro](fields) for macro, fields in all_macros if macro in written)))
        bench.finish()
        found = commands_of(bench)
    assert found == expected(ChannelSchedule(AIM).run(operations(AIM, all_macros), start=found[0][0]))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_rows_of_macs_take_what_the_open_simulator_takes(rows: int) -> None:
    """papers.md: 185 cycles for 64 columns in all banks, 226 for each further row, without refresh."""
    columns, t = AIM.columns, AIM.timing
    with started(refresh=False) as bench:
        bench.record()
        for row in range(rows):
            bench.macro(Macro.MAC_ALL, row=row, column=0, buffer=0, count=columns)
        bench.finish()
        commands = commands_of(bench)
    assert Command.REF not in {command for _, command, _ in commands}
    assert commands[-1][0] + t.burst - commands[0][0] + 1 == 185 + 226 * (rows - 1)


def test_refreshes_wait_for_the_end_of_a_row_and_are_made_up() -> None:
    with started() as bench:
        bench.record()
        for row in range(400):
            bench.macro(Macro.MAC_ALL, row=row, column=0, buffer=0, count=AIM.columns)
        bench.finish()
        commands = commands_of(bench)
    opened, macs, refreshes = 0, 0, []
    for cycle, command, _ in commands:
        match command:
            case Command.MACA:
                macs += 1
            case Command.ACTA:
                opened, macs = opened + 1, 0
            case Command.PREA:
                assert macs == AIM.columns
            case Command.REF:
                refreshes.append(cycle)
            case _:
                pass
    assert opened == 400
    assert abs(len(refreshes) - commands[-1][0] // AIM.timing.refi) <= 8
    gaps = np.diff(refreshes)
    assert (gaps == AIM.timing.rfc).sum() == 7 * (gaps > AIM.timing.rfc).sum() + 7  # eight in a row


def test_neither_macros_nor_ordinary_traffic_starve() -> None:
    with started() as bench:
        for row in range(40):
            bench.macro(Macro.MAC_ALL, row=row, column=0, buffer=0, count=AIM.columns)
        for i in range(64):
            bench.axi_read(2048 * 1024 * i + 32 * i, 1)
        bench.run(40 * 226 // 2)
        assert len(bench.axi_beats()[0]) > 8  # macros are there all the time
        bench.finish()
        for _ in range(400):
            bench.axi_read(0, 64)
        bench.macro(Macro.READ, bank=3, row=5, column=7, count=1, channels=1)
        bench.run(2000)
        assert len(bench.read()) == 1  # bursts are there all the time
        bench.finish()


BAD = [
    (PimError.OPERATION, 12, {}, 0),
    (PimError.OPERATION, Macro.SET_MODE, {"mode": 6}, 0),
    (PimError.OPERATION, Macro.SET_MODE, {"mode": 1}, 0),
    (PimError.CHANNELS, Macro.READ, {"channels": 0, "count": 1}, 0),
    (PimError.CHANNELS, Macro.READ, {"channels": 4, "count": 1}, 0),
    (PimError.COUNT, Macro.MAC_ALL, {"count": 0}, 0),
    (PimError.COUNT, Macro.WRITE, {"bank": 2, "row": 3, "count": 0}, 0),
    (PimError.CHANNELS, Macro.SCATTER, {"channels": 0}, 0),
    (PimError.BANK, Macro.WRITE, {"bank": 16, "count": 3}, 3),
    (PimError.ROW, Macro.READ, {"row": 16384, "count": 1}, 0),
    (PimError.ROW, Macro.WRITE, {"row": 16383, "column": 60, "count": 5}, 5),
    (PimError.ROW, Macro.MAC_ALL, {"row": (1 << 32) - 1, "count": 1}, 0),
    (PimError.COLUMN, Macro.READ, {"column": 64, "count": 1}, 0),
    (PimError.BUFFER, Macro.WRITE_BUFFER, {"buffer": 60, "count": 5}, 5),
    (PimError.BUFFER, Macro.MAC_BANK, {"buffer": 64, "count": 1}, 0),
    (PimError.BUFFER, Macro.SCATTER, {"buffer": 32}, 2),
    (PimError.ROW, Macro.SCATTER, {"row": 16384}, 2),
]


@pytest.mark.parametrize(("code", "operation", "fields", "columns"), BAD)
def test_a_bad_macro_does_nothing_and_says_why(code: PimError, operation: int, fields: dict[str, int], columns: int) -> None:
    with started() as bench:
        bench.clear()
        bench.set_row(1, 2, 3, np.full((AIM.columns, AIM.column_bytes), 7))
        bench.macro(Macro.READ, bank=2, row=3, column=0, count=1, channels=2)
        bench.macro(operation, **fields)
        bench.write(zeros(columns))
        bench.macro(Macro.WRITE, bank=2, row=3, column=0, count=2, channels=2)  # does nothing either
        bench.write(zeros(2))
        bench.finish()
        assert bench.error == (code, 1, 0)
        assert len(bench.read()) == 1
        assert (bench.row(1, 2, 3) == 7).all()
        bench.clear()
        bench.macro(Macro.READ, bank=2, row=3, column=0, count=1, channels=2)
        bench.finish()
        assert bench.error[0] is PimError.NONE
        assert (bench.read() == 7).all()


def test_multiplying_needs_a_number_format() -> None:
    with PimBench(AIM) as bench:
        bench.macro(Macro.WRITE_BUFFER, buffer=0, count=2)
        bench.write(zeros(2))
        bench.finish()
        assert bench.error == (PimError.MODE, 0, 0)
        assert bench.counts()[Command.WRGB] == 0


def test_dram_that_returns_nothing_is_an_error() -> None:
    with started() as bench:
        bench.clear()
        bench.set_row(0, 0, 0, np.full((AIM.columns, AIM.column_bytes), 7))
        bench.mute(1, True)
        bench.macro(Macro.READ, bank=0, row=0, column=0, count=2)
        bench.axi_read(0, 2)
        bench.finish()
        assert bench.error == (PimError.NO_DATA, 1, 1)
        assert len(bench.read()) == 4
        assert bench.axi_beats()[1].tolist() == [0, 2]  # the second beat is of channel 1
        bench.mute(1, False)
        bench.clear()
        bench.macro(Macro.READ, bank=0, row=0, column=0, count=1)
        bench.finish()
        assert bench.error[0] is PimError.NONE
        assert (bench.row(0, 0, 0) == 7).all()


def test_bursts_beyond_the_dram_are_refused() -> None:
    small = replace(AIM, rows=2)
    size = small.channels * small.channel_bytes
    with PimBench(small) as bench:
        bench.axi_write(size - 64, np.ones((2, 32)))
        bench.axi_write(size - 32, np.ones((2, 32)))
        bench.axi_read(size - 64, 2)
        bench.axi_read(size, 3)
        bench.finish()
        assert bench.axi_responses().tolist() == [0, 2]
        assert bench.axi_beats()[1].tolist() == [0, 0, 2, 2, 2]
        assert bench.row(1, 15, 1)[-1].all()


def test_constraints_are_as_long_as_the_controller_needs() -> None:
    with pytest.raises(ParameterError, match=r"^rrd_s must be an integer in 2\.\.1023, not 1$"):
        replace(AIM.timing, rrd_s=1)


def test_the_referee_has_rules_for_every_command() -> None:
    assert {rule.later for rule in rules(AIM)} == set(Command) - {Command.NOP}
