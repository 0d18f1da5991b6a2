"""The behavioural DRAM channel: its numbers against the golden model, when data is on the bus, and what its state forbids."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from bf16 import patterns
from celosia.rtl.arch.dram import (
    IN_MEMORY_MODE,
    IN_REGISTER_MODE,
    MODE_FORMAT,
    MODE_FUNCTION,
    MODE_REGISTERS,
    PRESETS,
    Command,
    Dram,
    Function,
    NumberFormat,
)
from celosia.sw.golden.pim import mac, matrix_vector, relu
from celosia.tb.dram import Chip, command_names
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

C = Command
AIM = PRESETS["aim"]
# Quick to clock: latencies change no number.
QUICK = replace(AIM, timing=replace(AIM.timing, cl=3, cwl=2), rows=16, columns=8, buffer_columns=8)
KINDS = [NumberFormat.INT8, NumberFormat.BF16]


class Bench:
    """A chip, and one command after the other."""

    def __init__(self, dram: Dram = QUICK) -> None:
        self.dram, self.chip = dram, Chip(dram)

    def do(self, command: Command, *, data: bytes | None = None, **operands: int) -> bytes | None:
        """A command, its data, and its answer, which must be there in its cycle."""
        t, answer = self.dram.timing, None
        for cycle in range(max(t.cl, t.cwl) + 1):
            on_bus = data if cycle == t.cwl else b"\xee" * self.dram.column_bytes
            now = self.chip.clock(**({"command": command} | operands if cycle == 0 else {}), data=on_bus)
            assert now is None or cycle + 1 == t.cl
            answer = now or answer
        return answer

    def mode(self, kind: NumberFormat, *, registers: bool = False, function: Function = Function.NONE) -> None:
        self.do(C.MRS, row=registers * MODE_REGISTERS | kind << MODE_FORMAT | function << MODE_FUNCTION)

    def write_accumulators(self, values: NDArray[Any]) -> None:
        for i, burst in enumerate(values.reshape(self.dram.accumulator_columns, -1)):
            self.do(C.WRMAC, column=i, data=burst.tobytes())

    def read_accumulators(self, kind: Any) -> NDArray[Any]:
        bursts = [self.do(C.RDMAC, column=i) for i in range(self.dram.accumulator_columns)]
        return np.frombuffer(b"".join(burst for burst in bursts if burst), kind)


def test_commands_are_those_of_the_contract() -> None:
    assert command_names() == [command.name for command in Command]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column_bytes", [8, 32, 64])
@pytest.mark.parametrize("function", Function)
def test_a_matrix_vector_product_is_the_golden_one(kind: NumberFormat, column_bytes: int, function: Function) -> None:
    dram = replace(QUICK, column_bytes=column_bytes)
    bench, rng = Bench(dram), np.random.default_rng([kind, column_bytes, function])
    lanes = dram.lanes(kind)
    shape, start = (dram.banks + 1, 7 * lanes), rng.integers(-(2**31), 2**31, dram.banks).astype(np.int32)
    if kind is NumberFormat.INT8:
        *weights, vector = rng.integers(-128, 128, shape, np.int8)
    else:
        *weights, vector = patterns(rng, shape, (120, 134))
        start = (start / np.float32(2**28)).astype(np.float32)
    for bank, row in enumerate(weights):
        bench.chip.write_row(bank, 5, row.tobytes())
    bench.mode(kind, registers=True)
    for i, column in enumerate(vector.reshape(7, lanes)):
        bench.do(C.WRGB, buffer=7 - i, data=column.tobytes())
    bench.write_accumulators(start)
    bench.mode(kind)
    bench.do(C.ACTA, row=5)
    for i in range(7):
        bench.do(C.MACA, column=i, buffer=7 - i)
    bench.mode(kind, registers=True, function=function)
    bench.do(C.AF)
    expected = matrix_vector(np.array(weights), vector, lanes, start)
    expected = relu(expected) if function is Function.RELU else expected
    assert bench.read_accumulators(np.uint32).tolist() == expected.view(np.uint32).tolist()
    assert bench.chip.violation == ""


# Biased exponents: of which products are near 1, of any size, below 2**-126, near the largest; all and infinities and NaNs.
EXPONENTS = [(120, 134), (60, 190), (45, 70), (0, 2), (185, 195), (0, 256)]


def test_bf16_of_any_pattern() -> None:
    """A product of two columns, with numbers of all sizes, infinities and NaNs, also in the accumulators."""
    bench, rng = Bench(), np.random.default_rng(0)
    bench.mode(NumberFormat.BF16)
    bench.do(C.ACTA, row=0)
    sums = []
    for first, second in product(EXPONENTS, EXPONENTS):
        vector, weights = patterns(rng, (16,), first), patterns(rng, (16, 16), second)
        weights[:8, 3:] = 0
        start = rng.choice(np.array([0, 1 << 31, 1, 0x7F7FFFFF, 0xFF800000, 0x7F800001, 0x3F800000, 0x80], np.uint32), 16)
        start[::2] = 0
        for bank in range(16):
            bench.chip.write_row(bank, 0, weights[bank].tobytes())
        bench.mode(NumberFormat.BF16, registers=True)
        bench.do(C.WRGB, buffer=1, data=vector.tobytes())
        bench.write_accumulators(start)
        bench.mode(NumberFormat.BF16)
        bench.do(C.MACA, column=0, buffer=1)
        bench.mode(NumberFormat.BF16, registers=True, function=Function.RELU)
        expected = mac(start.view(np.float32), weights, vector)
        assert bench.read_accumulators(np.uint32).tolist() == expected.view(np.uint32).tolist()
        bench.do(C.AF)
        assert bench.read_accumulators(np.uint32).tolist() == relu(expected).view(np.uint32).tolist()
        sums.append(expected)
    assert bench.chip.violation == ""
    met = np.concatenate(sums)
    size = np.abs(met[np.isfinite(met)])
    few = len(met) // 50
    assert np.isnan(met).sum() > few
    assert np.isinf(met).sum() > few
    assert (size >= 2.0**-126).sum() > 10 * few
    assert ((size > 0) & (size < 2.0**-126)).sum() > few


def test_mac_is_of_one_bank() -> None:
    bench = Bench()
    bench.chip.write_row(6, 3, bytes(range(32)))
    bench.mode(NumberFormat.INT8, registers=True)
    bench.do(C.WRGB, buffer=0, data=b"\xff" * 32)
    bench.mode(NumberFormat.INT8)
    bench.do(C.ACT, bank=6, row=3)
    bench.do(C.MAC, bank=6, column=0, buffer=0)
    bench.mode(NumberFormat.INT8, registers=True)
    assert bench.read_accumulators(np.int32).tolist() == [0] * 6 + [-sum(range(32))] + [0] * 9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", Function)
def test_activation_functions_of_what_was_written(kind: NumberFormat, function: Function) -> None:
    values = np.array([0, 1, 1 << 31, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFC00000, 0xBF800000] * 2, np.uint32)
    bench = Bench()
    bench.mode(kind, registers=True, function=function)
    bench.write_accumulators(values)
    bench.do(C.AF)
    expected = values if function is Function.NONE else relu(values.view(np.int32 if kind is NumberFormat.INT8 else np.float32))
    assert bench.read_accumulators(np.uint32).tolist() == expected.view(np.uint32).tolist()


@pytest.mark.parametrize("spacing", [1, 3])
@pytest.mark.parametrize("name", PRESETS)
def test_data_is_on_the_bus_in_its_cycles(name: str, spacing: int) -> None:
    """In each cycle the bus carries other data."""
    dram = PRESETS[name]
    t, size = dram.timing, dram.column_bytes
    chip = Chip(dram)
    bus = [bytes([cycle]) * size for cycle in range(2 * (t.cl + t.cwl) + 40)]
    commands = {0: (C.ACT, 0)} | {1 + spacing * i: (C.WR, i) for i in range(4)} | {20 + spacing * i: (C.RD, i) for i in range(4)}
    answers = {}
    for cycle, data in enumerate(bus):
        command, column = commands.get(cycle, (C.NOP, 0))
        answer = chip.clock(command, column=column, data=data)
        if answer is not None:
            answers[cycle + 1] = answer
    assert answers == {20 + spacing * i + t.cl: bus[1 + spacing * i + t.cwl] for i in range(4)}
    assert chip.violation == ""


def test_masked_bytes_stay_as_they_are() -> None:
    chip = Chip(AIM)
    chip.write_row(1, 2, bytes(range(64)))
    chip.clock(C.ACT, bank=1, row=2)
    chip.clock(C.WR, bank=1, column=1)
    for _ in range(AIM.timing.cwl - 1):
        chip.clock()
    chip.clock(data=b"\xff" * 32, mask=0xFFFF_FFFE)
    assert chip.read_row(1, 2)[:64] == bytes(range(32)) + b"\xff" + bytes(range(33, 64))


def test_columns_are_copied_to_the_buffer_and_back() -> None:
    bench = Bench()
    bench.chip.write_row(1, 2, bytes(range(256)))
    bench.do(C.ACTA, row=2)
    bench.do(C.RDCP, bank=1, column=3, buffer=4)
    bench.do(C.WRCP, bank=9, column=5, buffer=4)
    assert bench.do(C.RD, bank=9, column=5) == bytes(range(96, 128))
    assert bench.chip.read_row(9, 2) == bytes(160) + bytes(range(96, 128)) + bytes(64)


def test_rows_are_read_and_written_from_outside() -> None:
    chip = Chip(AIM)
    assert chip.read_row(15, 16383) == bytes(2048)
    chip.write_row(15, 16383, b"abc")
    assert chip.read_row(15, 16383) == b"abc" + bytes(2045)
    with pytest.raises(IndexError, match="there is no row 16384 of bank 15"):
        chip.read_row(15, 16384)
    with pytest.raises(IndexError, match="there is no row 0 of bank 16"):
        chip.write_row(16, 0, b"")
    with pytest.raises(ValueError, match="a row has 2048 bytes, not 2049"):
        chip.write_row(0, 0, bytes(2049))
    with pytest.raises(ValueError, match="the data bus carries 32 bytes, not 31"):
        chip.clock(data=bytes(31))


def test_a_mute_chip_takes_commands_but_answers_none() -> None:
    bench = Bench()
    bench.do(C.ACT, bank=0, row=1)
    bench.chip.mute(True)
    bench.do(C.WR, bank=0, column=1, data=b"x" * 32)
    assert bench.do(C.RD, bank=0, column=1) is None
    bench.chip.mute(False)
    assert bench.do(C.RD, bank=0, column=1) == b"x" * 32
    assert bench.chip.counts == {c: {C.ACT: 1, C.WR: 1, C.RD: 2, C.NOP: 12}.get(c, 0) for c in Command}


INT8 = (C.MRS, {"row": NumberFormat.INT8 << MODE_FORMAT})
OPEN = (C.ACT, {"bank": 1, "row": 2})
REGISTERS = (C.MRS, {"row": MODE_REGISTERS | NumberFormat.INT8 << MODE_FORMAT})
CLOSED, NO_COLUMN, NO_BUFFER = "the bank is closed", "there is no such column", "there is no such column of the global buffer"
ERRORS = [
    ([INT8], C.RD, {"bank": 3, "column": 1}, "RD bank 3 column 1: " + CLOSED),
    ([INT8, OPEN], C.WR, {"bank": 3, "column": 1}, "WR bank 3 column 1: " + CLOSED),
    ([INT8, OPEN], C.MAC, {"bank": 2, "column": 1, "buffer": 5}, "MAC bank 2 column 1 buffer 5: " + CLOSED),
    ([INT8, OPEN], C.RDCP, {"bank": 0, "column": 1, "buffer": 5}, "RDCP bank 0 column 1 buffer 5: " + CLOSED),
    ([INT8, OPEN], C.WRCP, {"bank": 0, "column": 1, "buffer": 5}, "WRCP bank 0 column 1 buffer 5: " + CLOSED),
    ([OPEN, (C.PRE, {"bank": 1})], C.RD, {"bank": 1}, "RD bank 1 column 0: " + CLOSED),
    ([OPEN, (C.PREA, {})], C.RD, {"bank": 1}, "RD bank 1 column 0: " + CLOSED),
    ([INT8, (C.ACTA, {"row": 0}), (C.PRE, {"bank": 15})], C.MACA, {}, "MACA column 0 buffer 0: a bank is closed"),
    ([OPEN], C.ACT, {"bank": 1, "row": 2}, "ACT bank 1 row 2: the bank is open"),
    ([OPEN], C.ACTA, {"row": 2}, "ACTA row 2: a bank is open"),
    ([OPEN], C.REF, {}, "REF: a bank is open"),
    ([OPEN], C.MAC, {"bank": 1}, "MAC bank 1 column 0 buffer 0: the number format is off"),
    ([(C.ACTA, {})], C.MACA, {}, "MACA column 0 buffer 0: the number format is off"),
    ([(C.MRS, {"row": MODE_REGISTERS})], C.AF, {}, "AF: the number format is off"),
    ([], C.ACT, {"bank": 16}, "ACT bank 16 row 0: there is no such bank"),
    ([], C.PRE, {"bank": 16}, "PRE bank 16: there is no such bank"),
    ([], C.ACT, {"row": 16}, "ACT bank 0 row 16: there is no such row"),
    ([], C.ACTA, {"row": 16}, "ACTA row 16: there is no such row"),
    ([OPEN], C.RD, {"bank": 1, "column": 8}, "RD bank 1 column 8: " + NO_COLUMN),
    ([INT8, (C.ACTA, {})], C.MACA, {"column": 8}, "MACA column 8 buffer 0: " + NO_COLUMN),
    ([INT8, (C.ACTA, {})], C.MACA, {"buffer": 8}, "MACA column 0 buffer 8: " + NO_BUFFER),
    ([REGISTERS], C.WRGB, {"buffer": 8}, "WRGB buffer 8: " + NO_BUFFER),
    ([REGISTERS], C.WRMAC, {"column": 2}, "WRMAC column 2: " + NO_COLUMN),
    ([REGISTERS], C.RDMAC, {"column": 2}, "RDMAC column 2: " + NO_COLUMN),
    ([], C.MRS, {"row": 3 << MODE_FORMAT}, "MRS row 6: there is no such mode"),
    ([], C.MRS, {"row": 16}, "MRS row 16: there is no such mode"),
    ([], len(Command), {}, "command 17: there is no such command"),
    *(([INT8, (C.ACTA, {}), REGISTERS], command, {}, "the mode is that of the registers") for command in sorted(IN_MEMORY_MODE)),
    *(([INT8], command, {}, "the mode is that of the memory") for command in sorted(IN_REGISTER_MODE)),
]


@pytest.mark.parametrize(("before", "command", "operands", "message"), ERRORS)
def test_what_the_state_forbids(before: list[tuple[C, dict[str, Any]]], command: int, operands: dict[str, Any], message: str) -> None:
    chip = Chip(QUICK)
    for earlier, earlier_operands in before:
        chip.clock(earlier, **earlier_operands)
    assert chip.violation == ""
    answers = [chip.clock(command, **operands), *(chip.clock() for _ in range(9))]
    assert chip.violation.startswith(f"cycle {len(before)}: ")
    assert chip.violation.endswith(message)
    assert chip.violations == 1
    assert answers == [None] * 10


def test_a_forbidden_command_does_nothing_and_the_first_is_kept() -> None:
    bench = Bench()
    bench.do(C.ACT, bank=1, row=2)
    bench.do(C.WR, bank=1, column=0, data=b"a" * 32)
    bench.do(C.ACT, bank=1, row=3)
    first = bench.chip.violation
    bench.do(C.WRGB, buffer=0, data=b"b" * 32)
    bench.do(C.MRS, row=7)
    bench.do(C.RDCP, bank=1, column=0, buffer=9)
    assert bench.do(C.RD, bank=1, column=0) == b"a" * 32
    bench.do(C.WRCP, bank=1, column=0, buffer=0)
    assert bench.do(C.RD, bank=1, column=0) == bytes(32)
    assert first == "cycle 8: ACT bank 1 row 3: the bank is open"
    assert (bench.chip.violation, bench.chip.violations) == (first, 4)


class Shelf:
    """A naive memory of two banks in a dictionary, and a buffer of two columns."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.cells: dict[tuple[int, int, int], bytes] = {}
        self.buffer = [bytes(32), bytes(32)]
        self.refused = 0

    def do(self, command: C, bank: int, row: int, column: int, buffer: int, data: bytes) -> bytes | None:
        here = (bank, self.rows.get(bank, -1), column)
        good = bank not in self.rows if command is C.ACT else command is C.PRE or bank in self.rows
        self.refused += not good
        if not good:
            return None
        match command:
            case C.ACT:
                self.rows[bank] = row
            case C.PRE:
                self.rows.pop(bank, None)
            case C.WR:
                self.cells[here] = data
            case C.RDCP:
                self.buffer[buffer] = self.cells.get(here, bytes(32))
            case C.WRCP:
                self.cells[here] = self.buffer[buffer]
            case _:
                return self.cells.get(here, bytes(32))
        return None


SMALL = st.integers(0, 1)
ACCESSES = st.tuples(
    st.sampled_from([C.ACT, C.PRE, C.WR, C.RD, C.RDCP, C.WRCP]), SMALL, SMALL, SMALL, SMALL, st.binary(min_size=32, max_size=32)
)


@settings(deadline=None)
@given(st.lists(ACCESSES, max_size=40))
def test_is_as_a_naive_memory(accesses: list[tuple[C, int, int, int, int, bytes]]) -> None:
    bench, shelf = Bench(), Shelf()
    for command, bank, row, column, buffer, data in accesses:
        answer = bench.do(command, bank=bank, row=row, column=column, buffer=buffer, data=data)
        assert answer == shelf.do(command, bank, row, column, buffer, data)
    assert bench.chip.violations == shelf.refused
