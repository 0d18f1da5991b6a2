"""Number formats, packed records, steps and machine parameters: ranges, error bounds and the messages of what is refused."""

import math
import re
from dataclasses import asdict, fields, replace
from fractions import Fraction

import pytest
from celosia.rtl.arch import formats
from celosia.rtl.arch.blocks import LaneCircuit, RowCircuit
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.formats import MAX_SHIFT, Format, Multiplier
from celosia.rtl.arch.kbest import KBestCircuit
from celosia.rtl.arch.links import Connections, Link
from celosia.rtl.arch.parameters import MachineParameters, configuration_hash
from celosia.rtl.arch.record import Field, Record
from celosia.rtl.arch.steps import COMMANDS, STEP_BYTES, WAIT_BITS, Engine, Step
from celosia.rtl.arch.targets import TARGETS
from celosia.rtl.arch.topk import TopKCircuit
from hypothesis import example, given
from hypothesis import strategies as st

BELOW_LIMIT = math.nextafter(65535.5, 0)  # the largest real that rounds to 65535, not to 2**16


@given(st.floats(2.0**-32, BELOW_LIMIT))
@example(1.0)
@example(65535.0)
@example(math.nextafter(1, 0))
@example(2.0**-32)
@example(BELOW_LIMIT)
def test_multiplier_is_normalised_and_nearest(real: float) -> None:
    m = Multiplier.from_real(real)
    assert 1 << 15 <= m.value < 1 << 16
    assert 0 <= m.shift <= 47
    assert m.real == m.value / 2**m.shift
    assert abs(Fraction(m.real) - Fraction(real)) <= Fraction(real) / 2**16


@given(st.floats(0, 2.0**-32, exclude_max=True, allow_subnormal=True))
@example(0.0)
@example(5e-324)
@example(2.0**-48)
@example(math.nextafter(2.0**-48, 1))
@example(math.nextafter(2.0**-32, 0))
def test_small_multiplier_is_denormalised(real: float) -> None:
    m = Multiplier.from_real(real)
    assert m.value == round(Fraction(real) * 2**m.shift)
    assert m.shift == 47 or real == 0


@given(st.floats(0, 60000), st.integers(0, MAX_SHIFT))
def test_shift_stays_below_its_limit(real: float, max_shift: int) -> None:
    m = Multiplier.from_real(real, max_shift=max_shift)
    assert m.shift <= max_shift
    assert abs(Fraction(m.real) - Fraction(real)) <= Fraction(1, 2 ** (m.shift + 1))


@pytest.mark.parametrize("real", [-1.0, -5e-324, math.inf, -math.inf, math.nan])
def test_refused_real(real: float) -> None:
    with pytest.raises(ValueError, match=f"^real must be finite and not negative, not {re.escape(repr(real))}$"):
        Multiplier.from_real(real)


@pytest.mark.parametrize("real", [65535.5, 65536.0, 1e300])
def test_real_beyond_the_range(real: float) -> None:
    with pytest.raises(ValueError, match=rf"^real must be below 2\*\*16, not {re.escape(repr(real))}$"):
        Multiplier.from_real(real)


def test_refused_multiplier() -> None:
    for value in (-1, 1 << 16):
        with pytest.raises(ValueError, match=f"^value must be in 0..65535, not {value}$"):
            Multiplier(value, 0)
    for shift in (-1, 64):
        with pytest.raises(ValueError, match=f"^shift must be in 0..63, not {shift}$"):
            Multiplier(1, shift)


def test_format_limits() -> None:
    assert [(f.min, f.max, f.bytes) for f in (formats.INT8, formats.INT16, formats.INT32)] == [
        (-128, 127, 1),
        (-32768, 32767, 2),
        (-(2**31), 2**31 - 1, 4),
    ]


@pytest.mark.parametrize(("x", "rounded"), [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (2.5000001, 3)])
def test_ties_go_to_even(x: float, rounded: int) -> None:
    assert formats.round_half_even(x) == rounded


RECORD = Record("record", (Field("a", 3), Field("b", 5, signed=True), Field("c", 64)))


def field_values(record: Record) -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({field.name: st.integers(field.min, field.max) for field in record.fields})


@given(field_values(RECORD))
def test_record_round_trip(values: dict[str, int]) -> None:
    packed = RECORD.pack(values)
    assert 0 <= packed < 1 << RECORD.bits == 1 << 72
    assert RECORD.unpack(packed) == values
    assert packed & 7 == values["a"]
    assert packed >> 3 & 31 == values["b"] % 32


def test_missing_fields_are_zero() -> None:
    assert RECORD.pack({"b": -1}) == 31 << 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": 8}, "record.a must be in 0..7, not 8"),
        ({"a": -1}, "record.a must be in 0..7, not -1"),
        ({"b": 16}, "record.b must be in -16..15, not 16"),
        ({"b": -17}, "record.b must be in -16..15, not -17"),
        ({"d": 0}, "record has no field d"),
    ],
)
def test_refused_field(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RECORD.pack(values)


waits = st.fixed_dictionaries({engine: st.integers(0, (1 << WAIT_BITS) - 1) for engine in Engine})
steps = st.sampled_from(Engine).flatmap(lambda engine: st.builds(Step, st.just(engine), field_values(COMMANDS[engine]), waits))


@given(steps)
def test_step_round_trip(step: Step) -> None:
    data = step.encode()
    assert len(data) == STEP_BYTES
    assert Step.decode(data) == step


def test_waits_wrap() -> None:
    assert Step.decode(Step(Engine.LOAD, {}, {Engine.STORE: (1 << WAIT_BITS) + 5}).encode()).waits[Engine.STORE] == 5


def test_refused_step() -> None:
    with pytest.raises(ValueError, match=r"^a step must have 128 bytes, not 127$"):
        Step.decode(bytes(127))
    with pytest.raises(ValueError, match=r"^6 is not a valid Engine$"):
        Step.decode(bytes([6]).ljust(128, b"\0"))
    with pytest.raises(ValueError, match=r"^load.rows must be in 0..65535, not 65536$"):
        Step(Engine.LOAD, {"rows": 1 << 16}).encode()


REFUSED = [
    ({"rows": 2}, "rows must be even and in 4..64, not 2"),
    ({"rows": 66}, "rows must be even and in 4..64, not 66"),
    ({"rows": 7}, "rows must be even and in 4..64, not 7"),
    ({"rows": 16.0}, "rows must be an integer, not 16.0"),
    ({"rows": True}, "rows must be an integer, not True"),
    ({"cols": 0}, "cols must be in 1..64, not 0"),
    ({"cols": 65}, "cols must be in 1..64, not 65"),
    ({"cols": 24}, "cols must be a multiple or divisor of rows (16), not 24"),
    ({"lanes": 0}, "lanes must be a divisor of rows / 2 (8), not 0"),
    ({"lanes": 3}, "lanes must be a divisor of rows / 2 (8), not 3"),
    ({"lanes": 16}, "lanes must be a divisor of rows / 2 (8), not 16"),
    ({"banks": 3}, "banks must be 1, 2, 4, 8 or 16, not 3"),
    ({"scratchpad_kib": 0}, "scratchpad_kib must be in 1..65536, not 0"),
    ({"scratchpad_kib": 65537}, "scratchpad_kib must be in 1..65536, not 65537"),
    ({"scratchpad_kib": 1, "banks": 8}, "scratchpad_kib must be enough for 16 words in each of 8 banks, not 1"),
    ({"accumulator_depth": 8}, "accumulator_depth must be a power of two in 16..4096, not 8"),
    ({"accumulator_depth": 100}, "accumulator_depth must be a power of two in 16..4096, not 100"),
    ({"bus_bytes": 64}, "bus_bytes must be 4, 8, 16 or 32, not 64"),
    ({"row_elements": 16384}, "row_elements must be a power of two in 16..8192, not 16384"),
    ({"row_elements": 24}, "row_elements must be a power of two in 16..8192, not 24"),
    ({"queue_depth": 1}, "queue_depth must be 2, 4, 8 or 16, not 1"),
    ({"queue_depth": 32}, "queue_depth must be 2, 4, 8 or 16, not 32"),
    ({"weight_bits": 2}, "weight_bits must be 4 or 8, not 2"),
    ({"lut_rows": 9}, "lut_rows must be in 0..rows / 2 (8), not 9"),
    ({"deform_kernel": 7}, "deform_kernel must be 0, 3 or 5, not 7"),
    ({"deform_reach": 1, "deform_kernel": 5}, "deform_reach must be in 2..15, not 1"),
    ({"deform_reach": 16}, "deform_reach must be in 1..15, not 16"),
    ({"deform_width": 2000}, "deform_width must be in 4..1024, not 2000"),
    *(({f"deform_{name}": 2}, f"deform_{name} must be 0 or 1, not 2") for name in ("free", "bilinear", "masked")),
    ({"multiplier_bits": 25}, "multiplier_bits must be 18 or 27, not 25"),
    ({"depthwise_taps": 3}, "depthwise_taps must be 0 or 4, not 3"),
    ({"requantizer_columns": 3}, "requantizer_columns must be a power of two that divides cols (16), not 3"),
    ({"requantizer_columns": 32}, "requantizer_columns must be a power of two that divides cols (16), not 32"),
    ({"factor_bits": 4}, "factor_bits must be 0 or 8, not 4"),
    ({"residual": 2}, "residual must be 0 or 1, not 2"),
    ({"transformer": 2}, "transformer must be 0 or 1, not 2"),
    ({"pruning": 2}, "pruning must be 0 or 1, not 2"),
    ({"rows": 12, "cols": 12, "lanes": 3, "pruning": 1}, "lanes must be a power of two where the machine has pruning, not 3"),
    ({"packing": 2}, "packing must be 0 or 1, not 2"),
    ({"packing": 1}, "packing must be 0 unless rows is a power of two, and cols at most its half, not 1"),
    (
        {"rows": 12, "cols": 6, "lanes": 3, "packing": 1},
        "packing must be 0 unless rows is a power of two, and cols at most its half, not 1",
    ),
    ({"units": 0}, "units must be at least 1 and at most banks (4), not 0"),
    ({"banks": 2, "units": 4}, "units must be at least 1 and at most banks (2), not 4"),
    ({"units": 3, "b_words": 2}, "b_words must be 1, 2 or 4, and at most banks / units (1), not 2"),
    ({"b_words": 3}, "b_words must be 1, 2 or 4, and at most banks / units (4), not 3"),
    ({"units": 2, "b_words": 4}, "b_words must be 1, 2 or 4, and at most banks / units (2), not 4"),
    ({"pim": "ddr"}, "pim must be one of none, aim, gddr6, hbm2, not 'ddr'"),
    ({"pim": 1}, "pim must be one of none, aim, gddr6, hbm2, not 1"),
    ({"pim": "aim", "rows": 64, "lanes": 4}, "rows must be a power of two in 8..32 where the machine has a pim, not 64"),
    ({"pim_channels": 3}, "pim_channels must be a power of two in 1..32, not 3"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_refused_machine(values: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=f"^{re.escape(message)}$"):
        MachineParameters.from_dict(values)


def test_every_parameter_has_a_refused_value() -> None:
    assert {next(iter(values)) for values, _ in REFUSED} == {field.name for field in fields(MachineParameters)}


def test_refused_name() -> None:
    with pytest.raises(ParameterError, match=r"^parameter name must be one of rows, cols, .*, deform_masked, not 'size'$"):
        MachineParameters.from_dict({"size": 1})


@pytest.mark.parametrize(
    ("parameters", "values", "message"),
    [
        (LaneCircuit, {"lanes": 65}, "lanes must be an integer in 1..64, not 65"),
        (RowCircuit, {"lanes": 0}, "lanes must be an integer in 1..64, not 0"),
        (RowCircuit, {"row_elements": 100}, "row_elements must be a power of two in 16..65536, not 100"),
        (TopKCircuit, {"lanes": 3}, "lanes must be a power of two in 1..64, not 3"),
        (TopKCircuit, {"lanes": 64, "row_elements": 64}, "row_elements must be at least two beats of 64, not 64"),
        (TopKCircuit, {"source": Format(4)}, "source must be of 8 to 32 bits, not 'int4'"),
        (KBestCircuit, {"lanes": 6}, "lanes must be a power of two in 1..64, not 6"),
        (KBestCircuit, {"k": 65}, "k must be an integer in 1..64, not 65"),
        (KBestCircuit, {"index_bits": 24}, "index_bits must be 8, 16 or 32, not 24"),
    ],
)
def test_refused_block(parameters: type, values: dict[str, int], message: str) -> None:
    with pytest.raises(ParameterError, match=f"^{re.escape(message)}$"):
        parameters(**values)


@pytest.mark.parametrize("machine", TARGETS.values(), ids=list(TARGETS))
def test_targets(machine: MachineParameters) -> None:
    assert MachineParameters.from_dict(asdict(machine)) == machine
    built = machine.banks * machine.bank_words * machine.word_bytes
    assert machine.scratchpad_kib * 512 < built <= machine.scratchpad_kib * 1024
    assert machine.bank_words.bit_count() == 1


def test_slots_are_whole_beats() -> None:
    machine = MachineParameters(rows=20, cols=20, lanes=10, bus_bytes=16)
    assert (machine.beats_per_word, machine.slot_bytes, machine.channel_words, machine.peak_macs) == (2, 32, 8, 400)


def test_hash_tells_configurations_apart() -> None:
    other = {
        "rows": 8,
        "cols": 2,
        "lanes": 4,
        "scratchpad_kib": 64,
        "banks": 2,
        "accumulator_depth": 128,
        "bus_bytes": 16,
        "row_elements": 512,
        "queue_depth": 8,
        "weight_bits": 4,
        "multiplier_bits": 27,
        "lut_rows": 4,
        "depthwise_taps": 0,
        "requantizer_columns": 2,
        "factor_bits": 8,
        "residual": 1,
        "packing": 1,
        "transformer": 0,
        "pruning": 1,
        "units": 2,
        "b_words": 2,
        "pim": "aim",
        "pim_channels": 2,
        "deform_kernel": 3,
        "deform_reach": 5,
        "deform_width": 32,
        "deform_free": 1,
        "deform_bilinear": 1,
        "deform_masked": 1,
    }
    base = MachineParameters(rows=16, cols=4, lanes=2)
    machines = [base, *(replace(base, **{name: value}) for name, value in other.items())]
    assert set(other) == set(asdict(base))
    hashes = [configuration_hash(machine, program) for machine in machines for program in (None, b"\1", b"\2")]
    link = Link(writer="compute.write", reader="vector.read_a", words=4)
    connections = [
        *(Connections(links=links) for links in ((link,), (link, link), (replace(link, words=8),), (replace(link, reader="store.read"),))),
        *(Connections(reach=reach) for reach in ({}, {"load.write": frozenset({0})}, {"load.write": frozenset({1})})),
    ]
    hashes += [configuration_hash(base, None, connected) for connected in connections]
    assert len(set(hashes)) == len(hashes)
    assert configuration_hash(base, None, Connections()) == configuration_hash(base, None)
    assert all(0 <= h < 1 << 64 for h in hashes)
    assert configuration_hash(base, None) == configuration_hash(MachineParameters(rows=16, cols=4, lanes=2), None)
