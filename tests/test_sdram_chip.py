"""The behavioural SDRAM chip: its data, and that it names each rule that is broken on its pins."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.sdram import INITIAL_REFRESHES, PRECHARGE_ALL, ULX3S, Command, Sdram
from celosia.sw.driver.sdram import PINS
from celosia.sw.driver.sdram_rules import rules
from celosia.tb.sdram import Chip

C = Command
CHIP = replace(ULX3S, row_bits=11, column_bits=8, power_up=100)
Step = tuple[int, Command, dict[str, int]]  # cycles after the one before, command, pins


class Bench:
    """A chip, and one command after the other."""

    def __init__(self, sdram: Sdram = CHIP) -> None:
        self.sdram, self.chip, self.bus = sdram, Chip(sdram), list[int | None]()

    def cycle(self, command: Command = C.NOP, **pins: int) -> None:
        """What the data bus then carries is kept."""
        code = {"ras_n": command >> 2 & 1, "cas_n": command >> 1 & 1, "we_n": command & 1}
        values = {"cke": 1, **code, **({"oe": 1} if command is C.WRITE else {}), **pins}
        self.bus.append(self.chip.clock([values.get(name, 0) for name in PINS]))

    def do(self, *steps: Step) -> "Bench":
        for gap, command, pins in steps:
            for _ in range(gap - 1):
                self.cycle()
            self.cycle(command, **pins)
        return self

    def start(self) -> "Bench":
        return self.do(*start_steps(self.sdram), (self.sdram.mrd - 1, C.NOP, {}))


def start_steps(c: Sdram) -> list[Step]:
    refreshes = [(c.rp_cycles if i == 0 else c.rfc_cycles, C.REFRESH, {}) for i in range(INITIAL_REFRESHES)]
    return [(c.power_up_cycles + 1, C.PRECHARGE, {"a": PRECHARGE_ALL}), *refreshes, (c.rfc_cycles, C.MODE, {"a": c.mode})]


def act(gap: int = 1, **pins: int) -> Step:
    return gap, C.ACTIVATE, pins


def read(gap: int, **pins: int) -> Step:
    return gap, C.READ, pins


def write(gap: int, **pins: int) -> Step:
    return gap, C.WRITE, pins


def close(gap: int, **pins: int) -> Step:
    return gap, C.PRECHARGE, pins


T = CHIP
SLOW_ROWS = replace(CHIP, rc=120)  # in the others tRAS and tRP are tRC
TIMES: list[tuple[str, Sdram, list[Step]]] = [  # the last step comes as early as it may
    ("tRCD", T, [act(), read(T.rcd_cycles)]),
    ("tRCD", T, [act(), write(T.rcd_cycles)]),
    ("tRP", T, [act(), close(T.ras_cycles), act(T.rp_cycles, a=3)]),
    ("tRP", T, [act(), close(T.ras_cycles, a=PRECHARGE_ALL), (T.rp_cycles, C.REFRESH, {})]),
    ("tRP", T, [act(), close(T.ras_cycles, a=PRECHARGE_ALL), (T.rp_cycles, C.MODE, {"a": T.mode})]),
    ("tRAS", T, [act(), close(T.ras_cycles)]),
    ("tRC", SLOW_ROWS, [act(), close(T.ras_cycles), act(12 - T.ras_cycles)]),
    ("tRRD", T, [act(), act(T.rrd_cycles, ba=2)]),
    ("tRFC", T, [(1, C.REFRESH, {}), act(T.rfc_cycles)]),
    ("tRFC", T, [(1, C.REFRESH, {}), (T.rfc_cycles, C.REFRESH, {})]),
    ("tMRD", T, [(1, C.MODE, {"a": T.mode}), act(T.mrd)]),
    ("tWR", T, [act(), write(T.ras_cycles), close(T.wr_cycles)]),
    ("tWR", T, [act(), write(T.ras_cycles), close(T.wr_cycles, a=PRECHARGE_ALL)]),
    ("tRTP", T, [act(), read(T.ras_cycles), close(T.rtp_cycles)]),
]


@pytest.mark.parametrize(("name", "sdram", "steps"), TIMES)
def test_a_command_a_cycle_too_early_is_named(name: str, sdram: Sdram, steps: list[Step]) -> None:
    assert Bench(sdram).start().do(*steps).chip.violation == ""
    *before, (gap, command, pins) = steps
    chip = Bench(sdram).start().do(*before, (gap - 1, command, pins)).chip
    assert f": {name} is " in chip.violation
    assert chip.violations == 1


def test_every_rule_of_times_is_broken_above() -> None:
    assert {rule.name for rule in rules(CHIP)} == {name for name, _, _ in TIMES}


STATES: dict[str, Sequence[Step]] = {
    "RD bank 1: the bank is closed": [read(9, ba=1)],
    "WR bank 2: the bank is closed": [act(), write(9, ba=2)],
    "ACT bank 0: the bank is open": [act(), act(9)],
    "REF: a bank is open": [act(), (9, C.REFRESH, {})],
    "MRS: a bank is open": [act(), (9, C.MODE, {"a": T.mode})],
    "MRS: the mode is not the one that is known here": [(1, C.MODE, {"a": 0x33})],
    "ACT bank 0: there is no such row": [act(a=1 << 11)],
    "RD bank 0: there is no such column": [act(), read(9, a=256)],
    "RD bank 0: it would close the bank, which is not known here": [act(), read(9, a=PRECHARGE_ALL)],
    "WR bank 0: nobody drives the data bus": [act(), write(9, oe=0)],
    "the data bus: both sides drive it": [act(), read(9), (T.cas_latency, C.NOP, {"oe": 1})],
    "the data bus: both sides drive it, or one without a cycle after the other": [act(), read(9), (T.cas_latency + 1, C.NOP, {"oe": 1})],
}


@pytest.mark.parametrize("name", STATES)
def test_a_command_that_the_state_forbids_is_named(name: str) -> None:
    chip = Bench().start().do(*STATES[name]).chip
    assert name in chip.violation
    assert chip.violations == 1


def test_there_is_a_cycle_between_both_sides_of_the_bus() -> None:
    assert not Bench().start().do(act(), read(9), write(T.rtw_cycles)).chip.violations
    assert "the data bus" in Bench().start().do(act(), read(9), write(T.rtw_cycles - 1)).chip.violation


def test_bursts_cannot_be_terminated() -> None:
    bench = Bench().start()
    bench.cycle(C.NOP, we_n=0)
    assert "burst terminate: there is no such command here" in bench.chip.violation


STARTS = {
    "PREA: the power-up time is not over": [(T.power_up_cycles, C.PRECHARGE, {"a": PRECHARGE_ALL})],
    "REF: the banks were not closed at first": [(T.power_up_cycles + 1, C.REFRESH, {})],
    "MRS: it needs refreshes before": [*start_steps(T)[:2], (T.rfc_cycles, C.MODE, {"a": T.mode})],
    "ACT bank 0: the mode was not set": [*start_steps(T)[:3], act(T.rfc_cycles)],
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_that_lacks_something_is_named(name: str) -> None:
    chip = Bench().do(*STARTS[name]).chip
    assert name in chip.violation
    assert chip.violations == 1


def test_a_late_refresh_is_named() -> None:
    in_time: Step = (T.refi_cycles, C.REFRESH, {})
    bench = Bench().do(*start_steps(T), in_time, in_time, in_time)
    assert not bench.chip.violations
    bench.do((T.refi_cycles + 1, C.REFRESH, {}))
    assert f"a refresh is late: tREFI is {T.refi_cycles}" in bench.chip.violation


def test_words_come_in_their_cycle_and_masks_keep_bytes() -> None:
    bench = Bench().start().do(act(a=5, ba=3))
    bench.do(write(9, ba=3, a=7, dq=0x1234), write(1, ba=3, a=8, dq=0x5678), write(1, ba=3, a=8, dq=0xABCD, dqm=2))
    first = len(bench.bus)
    bench.do(read(1, ba=3, a=7), read(1, ba=3, a=8), *[(1, C.NOP, {})] * 4)
    # An answer is of the cycle after its own.
    assert bench.bus[first:] == [*[None] * (T.cas_latency - 1), 0x1234, 0x56CD, *[None] * (5 - T.cas_latency)]
    at = ((5 * T.banks + 3) * T.columns + 7) * 2
    assert bench.chip.data[at : at + 4].tolist() == [0x34, 0x12, 0xCD, 0x56]
    assert np.count_nonzero(bench.chip.data) == 4
    assert not bench.chip.violations


def test_a_mask_silences_a_read_two_cycles_later() -> None:
    bench = Bench().start().do(act(), write(9, dq=0x1234))
    first = len(bench.bus)
    bench.do(read(1), read(1, dqm=3), read(1), *[(1, C.NOP, {})] * 3)
    # With CAS latency 3 the mask beside a READ is of the word before its own.
    assert bench.bus[first:] == [None, None, None, 0x1234, 0x1234, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_bits": 14}, "row_bits must be an integer in 11..13, not 14"),
        ({"cas_latency": 4}, "cas_latency must be an integer in 2..3, not 4"),
        ({"banks": 8}, "banks must be 2 or 4, not 8"),
        ({"data_bits": 32}, "data_bits must be 8 or 16, not 32"),
        ({"mhz": 0}, "mhz must be in 1..200, not 0"),
        ({"rcd": 0}, "rcd must be above 0 ns, not 0"),
        ({"refi": 800}, "refi must be longer than it takes to open rows and to refresh, not 800"),
    ],
)
def test_refuses_what_no_chip_is(change: dict, message: str) -> None:
    with pytest.raises(ParameterError) as refused:
        replace(ULX3S, **change)
    assert str(refused.value) == message


def test_times_are_rounded_to_the_safe_side() -> None:
    assert ULX3S.size == 32 << 20
    assert [replace(ULX3S, mhz=mhz).rcd_cycles for mhz in (25, 47, 48, 100, 143)] == [1, 1, 2, 3, 4]
    assert [replace(ULX3S, mhz=mhz).refi_cycles for mhz in (25, 100, 128)] == [195, 781, 1000]
    assert replace(ULX3S, mhz=25).wr_cycles == 2
