"""The referee of DRAM commands: each rule of each device by itself, mistakes seen in public code, and a naive model."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

import pytest
from celosia.rtl.arch.dram import POSTPONED_REFRESHES, PRESETS, Command, Dram, Timing
from celosia.sw.driver.dram_rules import Rule, Scope, rules
from celosia.tb.dram import Checker
from hypothesis import given, settings
from hypothesis import strategies as st

C = Command
OF_ONE_BANK = {C.ACT, C.PRE, C.RD, C.WR, C.MAC, C.RDCP, C.WRCP}
AIM = PRESETS["aim"]
# In the presets tRRD implies tFAW, in `spread` it doesn't; in `turned` the data bus turns slower to reads than to writes.
SPREAD = replace(AIM, timing=replace(AIM.timing, rrd_s=3, rrd_l=5, faw=26, ccd_s=4, ccd_l=7, cl=8, cwl=7))
TURNED = replace(AIM, timing=replace(AIM.timing, cl=3, cwl=20))
DEVICES = PRESETS | {"spread": SPREAD, "turned": TURNED}
NAMES = sorted({rule.name for rule in rules(AIM)})


def reach(rule: Rule) -> Scope:
    """A command for all banks meets every other one."""
    return rule.scope if {rule.earlier, rule.later} <= OF_ONE_BANK else Scope.CHANNEL


def implies(rule: Rule, other: Rule) -> bool:
    """Between the same two commands; steps of `rule` add up to the window of `other`."""
    alike = rule != other and (rule.earlier, rule.later, rule.window) == (other.earlier, other.later, 1)
    return alike and reach(rule) <= reach(other) and rule.delay * other.window >= other.delay


def apart(scope: Scope, count: int, dram: Dram) -> list[int]:
    """Different banks that have no more in common than the scope, as far as there are enough."""
    match scope:
        case Scope.BANK:
            return [0] * count
        case Scope.GROUP:
            return [i % dram.group_banks for i in range(count)]
        case Scope.CHANNEL:
            return [i % dram.bank_groups * dram.group_banks + i // dram.bank_groups for i in range(count)]


def broken(dram: Dram, table: Sequence[Rule] | None, commands: Iterable[tuple[int, Command, int]]) -> Counter[Rule]:
    checker = Checker(dram, table, refresh=False)
    for cycle, command, bank in commands:
        checker.check(cycle, command, bank)
    assert checker.violations == checker.broken.total()
    assert bool(checker.violation) == bool(checker.violations)
    return checker.broken


def names(dram: Dram, *commands: tuple[int, Command, int]) -> dict[str, int]:
    """What the device's whole table says."""
    counts: Counter[str] = Counter()
    for rule, count in broken(dram, None, commands).items():
        counts[rule.name] += count
    return dict(counts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("device", DEVICES)
def test_each_rule_alone(device: str, name: str) -> None:
    """As many commands as the rule needs, then one at the first legal cycle, or one earlier: that breaks this rule and no other one
    but those that imply it, which are taken out of the table."""
    dram = DEVICES[device]
    table = rules(dram)
    for rule in (rule for rule in table if rule.name == name):
        others = [other for other in table if not implies(other, rule)]
        banks = apart(rule.scope, rule.window + 1, dram)
        step = (rule.delay - 1) // rule.window
        before = [(i * step, rule.earlier, banks[i]) for i in range(rule.window)]
        assert not broken(dram, others, [*before, (rule.delay, rule.later, banks[-1])])
        if rule.delay > 1:  # one command a cycle: a delay of one is always kept
            assert broken(dram, others, [*before, (rule.delay - 1, rule.later, banks[-1])]) == {rule: 1}
            assert rule in broken(dram, table, [*before, (rule.delay - 1, rule.later, banks[-1])])


def test_every_name_is_alone_in_the_whole_table_of_a_device() -> None:
    tables = [rules(dram) for dram in DEVICES.values()]
    assert {rule.name for table in tables for rule in table if not any(implies(other, rule) for other in table)} == set(NAMES)


@pytest.mark.parametrize("scope", Scope)
def test_what_lies_outside_of_the_scope_is_free(scope: Scope) -> None:
    table = [Rule("x", C.ACT, C.ACT, scope, 9)]
    other = {Scope.CHANNEL: [], Scope.GROUP: [4, 8, 12], Scope.BANK: [1, 4, 15]}[scope]
    assert broken(AIM, table, [(0, C.ACT, 0), (1, C.ACT, 0)])
    for bank in other:
        assert not broken(AIM, table, [(0, C.ACT, 0), (1, C.ACT, bank)])


def test_every_timing_is_in_the_table() -> None:
    for field in fields(Timing):
        dram = replace(SPREAD, timing=replace(SPREAD.timing, **{field.name: getattr(SPREAD.timing, field.name) + 1}))
        assert (rules(dram) == rules(SPREAD)) == (field.name == "refi"), field.name


def test_ras_is_kept_though_a_read_came_between() -> None:
    t = AIM.timing
    assert t.rcd_rd + t.rtp < t.ras
    assert names(AIM, (0, C.ACT, 5), (t.rcd_rd, C.RD, 5), (t.ras, C.PRE, 5)) == {}
    assert names(AIM, (0, C.ACT, 5), (t.rcd_rd, C.RD, 5), (t.ras - 1, C.PRE, 5)) == {"tRAS": 1}
    assert names(AIM, (0, C.ACTA, 0), (t.rcd_rd, C.RD, 5), (t.ras - 1, C.PREA, 0)) == {"tRAS": 1}


def test_the_fifth_act_waits_for_the_first_of_four() -> None:
    t, times = SPREAD.timing, [0, 4, 8, 12]
    acts = [(time, C.ACT, 4 * i) for i, time in enumerate(times)]
    assert names(SPREAD, *acts, (t.faw, C.ACT, 1)) == {}
    assert names(SPREAD, *acts, (t.faw - 1, C.ACT, 1)) == {"tFAW": 1}
    assert names(SPREAD, *acts, (t.faw, C.ACT, 1), (t.faw + 3, C.ACT, 5)) == {"tFAW": 1}  # the window moves on


@pytest.mark.parametrize("device", PRESETS)
def test_a_read_delays_the_precharge(device: str) -> None:
    t = PRESETS[device].timing
    late = t.ras + 100
    for command, last in ((C.RD, t.rtp), (C.MAC, t.rtp), (C.MACA, t.rtp), (C.RDCP, t.rtp), (C.WR, t.write_end + t.wr)):
        assert names(PRESETS[device], (0, C.ACTA, 0), (late, command, 3), (late + last, C.PREA, 0)) == {}
        rule = "tWR" if command is C.WR else "tRTP"
        assert names(PRESETS[device], (0, C.ACTA, 0), (late, command, 3), (late + last - 1, C.PREA, 0)) == {rule: 1}


@pytest.mark.parametrize("device", PRESETS)
def test_refresh_keeps_ras_and_rp(device: str) -> None:
    t = PRESETS[device].timing
    close = max(t.ras, t.rc - t.rp)
    assert names(PRESETS[device], (0, C.ACT, 2), (close, C.PRE, 2), (close + t.rp, C.REF, 0)) == {}
    assert names(PRESETS[device], (0, C.ACT, 2), (t.rc, C.PRE, 2), (t.rc + t.rp - 1, C.REF, 0)) == {"tRP": 1}
    assert names(PRESETS[device], (0, C.ACT, 2), (t.ras - 1, C.PREA, 0), (t.ras + t.rc, C.REF, 0)) == {"tRAS": 1}
    assert names(PRESETS[device], (0, C.ACT, 2), (t.rc - 1, C.REF, 0)) == {"tRC": 1}
    assert names(PRESETS[device], (0, C.REF, 0), (t.rfc - 1, C.ACT, 2)) == {"tRFC": 1}


def test_rows_of_macs_are_as_far_apart_as_an_open_simulator_has_them() -> None:
    """226 cycles from one row of 64 columns in all banks to the next one, of which 56 + 63 * 2 to its last MAC."""
    t, last = AIM.timing, AIM.timing.rcd_mac + 63 * AIM.timing.ccd_l
    row = [(0, C.ACTA, 0), *((t.rcd_mac + 2 * i, C.MACA, 0) for i in range(64))]
    assert names(AIM, *row, (last + t.rtp, C.PREA, 0), (226, C.ACTA, 0)) == {}
    assert names(AIM, *row, (last + t.rtp, C.PREA, 0), (225, C.ACTA, 0)) == {"tRP": 1}
    assert names(AIM, *row, (last + t.rtp - 1, C.PREA, 0), (226, C.ACTA, 0)) == {"tRTP": 1}


def test_the_first_violation_is_kept() -> None:
    checker = Checker(AIM)
    checker.check(10, C.ACT, 2)
    checker.check(63, C.PRE, 2)
    checker.check(64, C.ACT, 2)
    assert checker.violation == "cycle 63: PRE bank 2 comes 53 cycles after ACT: tRAS is 54"
    assert checker.violations == 3
    assert Counter(rule.name for rule in checker.broken) == {"tRAS": 1, "tRP": 1, "tRC": 1}
    windowed = Checker(AIM, [Rule("tFAW", C.ACT, C.ACT, Scope.CHANNEL, 42, 4)])
    for cycle in range(5):
        windowed.check(cycle, C.ACT, cycle)
    assert windowed.violation == "cycle 4: ACT bank 4 comes 4 cycles after the first of 4 ACT: tFAW is 42"


INTERVAL = AIM.timing.refi
LONGEST = (POSTPONED_REFRESHES + 1) * INTERVAL


def late(*cycles: int, until: int, refresh: bool = True) -> int:
    """Late refreshes of those given, in a run that ends so."""
    checker = Checker(AIM, refresh=refresh)
    for cycle in cycles:
        checker.check(cycle, C.REF)
    checker.check(until)
    assert checker.broken.total() == 0
    assert checker.violations == checker.late_refreshes
    return checker.late_refreshes


def test_refresh_is_missed_though_no_command_comes() -> None:
    checker = Checker(AIM)
    for cycle in range(LONGEST + 1):
        checker.check(cycle)
    assert checker.violation == ""
    checker.check(LONGEST + 1)
    assert checker.violation == f"cycle {LONGEST + 1}: a refresh is late: tREFI is {INTERVAL}"
    for cycle in range(LONGEST + 2, LONGEST + 2 * INTERVAL + 2):
        checker.check(cycle)
    assert checker.late_refreshes == 3
    assert late(until=100 * LONGEST, refresh=False) == 0


def test_refreshes_may_be_postponed_and_are_made_up_for() -> None:
    burst = [LONGEST + i * AIM.timing.rfc for i in range(POSTPONED_REFRESHES + 1)]
    assert late(*burst, until=2 * LONGEST) == 0
    assert late(*burst, until=2 * LONGEST + 1) == 1
    assert late(burst[0] + 1, *burst[2:], until=burst[-1]) == 1
    # One in each nine intervals is too few.
    assert late(LONGEST, until=LONGEST + INTERVAL) == 0
    assert late(LONGEST, until=LONGEST + INTERVAL + 1) == 1


def test_early_refreshes_count_up_to_a_limit() -> None:
    regular = list(range(INTERVAL, 41 * INTERVAL, INTERVAL))
    assert late(*regular, until=regular[-1] + LONGEST) == 0
    early = [regular[-1] + i * AIM.timing.rfc for i in range(1, 21)]
    # No two are further apart than nine intervals; eight were made up for, so eight more may be owed.
    second, third = early[-1] + LONGEST, early[-1] + LONGEST + (POSTPONED_REFRESHES + 1) * INTERVAL
    assert late(*regular, *early, until=second) == 0
    assert late(*regular, *early, until=second + 1) == 1
    assert late(*regular, *early, second, until=third) == 0
    assert late(*regular, *early, second, third, until=third + INTERVAL) == 0
    assert late(*regular, *early, second, third, until=third + INTERVAL + 1) == 1


COMMANDS = st.sampled_from([C.ACT, C.ACTA, C.RD, C.PREA, C.REF])
RULES = st.builds(Rule, st.just("x"), COMMANDS, COMMANDS, st.sampled_from(Scope), st.integers(1, 12), st.integers(1, 4))
SMALL = replace(AIM, bank_groups=2, group_banks=2, column_bytes=16)


def naive(table: Sequence[Rule], commands: Sequence[tuple[int, Command, int]]) -> Counter[Rule]:
    """By looking at all commands before each."""

    def places(scope: Scope, command: Command, bank: int) -> set[int]:
        size = SMALL.banks >> {Scope.CHANNEL: 0, Scope.GROUP: 1, Scope.BANK: 2}[scope]
        return {b // size for b in ([bank] if command in OF_ONE_BANK else range(SMALL.banks))}

    found: Counter[Rule] = Counter()
    for i, (now, later, bank) in enumerate(commands):
        for rule in table:
            for place in places(rule.scope, later, bank) if rule.later == later else ():
                times = [t for t, c, b in commands[:i] if c == rule.earlier and place in places(rule.scope, c, b)]
                if len(times) >= rule.window and now - times[-rule.window] < rule.delay:
                    found[rule] += 1
                    break
    return found


@settings(deadline=None)
@given(
    st.lists(RULES, min_size=1, max_size=6, unique=True),
    st.lists(st.tuples(st.integers(1, 4), COMMANDS, st.integers(0, 3)), max_size=40),
)
def test_is_as_a_naive_referee(table: list[Rule], gaps: list[tuple[int, Command, int]]) -> None:
    commands, now = [], 0
    for gap, command, bank in gaps:
        now += gap
        commands.append((now, command, bank))
    assert broken(SMALL, table, commands) == naive(table, commands)
