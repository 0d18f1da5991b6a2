"""A machine with a DRAM whose banks compute, Verilated: equal to the golden machine, and whole again after everything that can go wrong."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.dram import MODE_FORMAT, POSTPONED_REFRESHES, Command, NumberFormat
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.pim import Macro, PimError
from celosia.rtl.arch.registers import OFFSETS, ErrorCode
from celosia.rtl.arch.steps import PRODUCT, Engine, Step
from celosia.sw.driver.decoder import Decoder
from celosia.sw.driver.network import ACKNOWLEDGE, RESET, START, MachineError, Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.sw.golden.machine import Machine
from celosia.sw.manifest import Manifest
from celosia.sw.pim.mapping import MappingError
from celosia.tb.commands import pim
from celosia.tb.runner import build_machine
from decoders import CHOICES, causal_network, compiled

MACHINE = MachineParameters(
    rows=8, cols=8, lanes=4, scratchpad_kib=16, row_elements=64, accumulator_depth=32, pruning=1, pim="aim", pim_channels=2
)
SCRATCHPAD = MACHINE.scratchpad_words * MACHINE.slot_bytes  # bytes in memory
PROGRAM = 2 * SCRATCHPAD  # its place, behind the scratchpad's before and after a run
LIMIT = 200_000  # cycles of a run
ROWS = 7  # of a bank, that steps write to
DONE, FAILED, DRAINING = 2, 4, 8  # of the status register
EVERYWHERE = {"channels": (1 << MACHINE.pim_channels) - 1}
MODE = {"operation": Macro.SET_MODE, **EVERYWHERE, "mode": NumberFormat.INT8 << MODE_FORMAT}
REFUSED = [
    ({"operation": Macro.WRITE, "channels": 1, "row": 1 << 20, "count": 3, "length": 50}, ErrorCode.MACRO_FAILED, PimError.ROW),
    ({"operation": PRODUCT, **EVERYWHERE, "groups": 2, "row": 1 << 20, "count": 1, "n": 33}, ErrorCode.MACRO_FAILED, PimError.ROW),
    ({"operation": Macro.SCATTER, "channels": 4, "length": 9}, ErrorCode.MACRO_FAILED, PimError.CHANNELS),
    ({"operation": Macro.READ, "channels": 1, "count": 1}, ErrorCode.ILLEGAL_STEP, PimError.NONE),
    ({"operation": Macro.WRITE, "channels": 1, "count": 1 << 21}, ErrorCode.ILLEGAL_STEP, PimError.NONE),
    ({"operation": PRODUCT, "channels": 1, "groups": 1, "count": 1, "n": 17}, ErrorCode.ILLEGAL_STEP, PimError.NONE),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    verilog = tmp_path_factory.mktemp("pim") / "accelerator.v"
    verilog.write_text(to_verilog(Accelerator(MACHINE), name="accelerator"))
    return build_machine(verilog)


@pytest.fixture
def device(library: Path) -> Iterator[VerilatedDevice]:
    with VerilatedDevice(library, memory_bytes=PROGRAM + 0x2000, dram=MACHINE.dram) as device:
        yield device


def steps_of(commands: Sequence[dict[str, int]]) -> list[Step]:
    """Fill the scratchpad, do these commands of the PIM engine, and store the scratchpad."""
    words = {"rows": 1, "words": MACHINE.scratchpad_words}
    return [
        Step(Engine.LOAD, words),
        *(Step(Engine.PIM, command, {Engine.LOAD: 1}) for command in commands),
        Step(Engine.STORE, {**words, "external": SCRATCHPAD}, {Engine.PIM: len(commands)}),
    ]


def start(device: VerilatedDevice, steps: Sequence[Step]) -> None:
    device.write_memory(PROGRAM, b"".join(step.encode() for step in steps))
    values = {"memory_size": PROGRAM, "program_base": PROGRAM, "program_count": len(steps), "interrupt_enable": 1, "control": START}
    for name, value in values.items():
        device.write_register(OFFSETS[name], value)


def status_of(device: VerilatedDevice, steps: Sequence[Step]) -> int:
    """At the end of a run of these."""
    start(device, steps)
    assert device.wait_interrupt(LIMIT)
    device.write_register(OFFSETS["control"], ACKNOWLEDGE)
    return device.read_register(OFFSETS["status"])


def settle(device: VerilatedDevice) -> None:
    """Until macros that give nothing are in the DRAM, too."""
    assert not device.wait_interrupt(2000)


def assert_equals_the_golden_machine(device: VerilatedDevice, seed: int) -> None:
    """On random commands, that begin with all that a run finds in the DRAM beside its rows."""
    rng = random.Random(seed)
    commands, scratchpad = pim(rng, MACHINE)
    steps = steps_of(commands)
    golden = Machine(MACHINE, PROGRAM)
    assert golden.pim is not None
    golden.memory[:SCRATCHPAD] = scratchpad.reshape(-1)
    device.write_memory(0, golden.memory)
    places = [(channel, bank, row) for channel in range(2) for bank in range(golden.pim.dram.banks) for row in range(ROWS)]
    for place in places:
        golden.pim.row(*place)[:] = device.dram_row(*place)
    golden.run(steps)
    assert status_of(device, steps) & (DONE | FAILED) == DONE
    settle(device)
    assert device.read_memory(0, PROGRAM) == golden.memory.tobytes()
    for place in places:
        assert (device.dram_row(*place) == golden.pim.row(*place)).all(), f"row {place} differs after {commands}"


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_golden_machine(device: VerilatedDevice, seed: int) -> None:
    assert_equals_the_golden_machine(device, seed)
    assert 0 < device.read_register(OFFSETS["pim_busy"]) < device.read_register(OFFSETS["cycles"])
    assert device.read_register(OFFSETS["pim_error"]) == 0


def test_refreshes_go_on_while_it_idles(device: VerilatedDevice) -> None:
    """A late one would be an error of the device."""
    dram, intervals = MACHINE.dram, 5 * POSTPONED_REFRESHES
    assert dram is not None
    assert not device.wait_interrupt(intervals * dram.timing.refi)
    assert abs(device.dram_counts()[Command.REF] - dram.channels * intervals) <= dram.channels * POSTPONED_REFRESHES
    assert_equals_the_golden_machine(device, 1)


@pytest.mark.parametrize(("bad", "code", "pim_error"), REFUSED)
def test_refused(device: VerilatedDevice, bad: dict[str, int], code: ErrorCode, pim_error: PimError) -> None:
    commands, _ = pim(random.Random(code), MACHINE)
    assert status_of(device, steps_of([*commands[:3], bad, *commands[3:]])) & (DONE | FAILED) == FAILED
    assert device.read_register(OFFSETS["error"]) == code | Engine.PIM << 8
    assert device.read_register(OFFSETS["error_step"]) == 4
    assert device.read_register(OFFSETS["pim_error"]) & 0xFF == pim_error
    assert_equals_the_golden_machine(device, 1)
    assert device.read_register(OFFSETS["pim_error"]) == 0


def test_a_last_macro_that_is_refused(device: VerilatedDevice) -> None:
    bad = {"operation": Macro.SET_MODE, **EVERYWHERE, "mode": 0xFF}
    assert status_of(device, [Step(Engine.PIM, bad)]) & (DONE | FAILED) == FAILED
    assert device.read_register(OFFSETS["pim_error"]) == PimError.OPERATION


def test_no_data(device: VerilatedDevice) -> None:
    device.mute_dram(1, True)
    product = {"operation": PRODUCT, **EVERYWHERE, "groups": 3, "group_columns": 1, "count": 1, "n": 96, "raw": 1}
    assert status_of(device, steps_of([MODE, product])) & (DONE | FAILED) == FAILED
    assert device.read_register(OFFSETS["error"]) == ErrorCode.MACRO_FAILED | Engine.PIM << 8
    device.write_register(OFFSETS["control"], RESET)
    assert device.read_register(OFFSETS["pim_error"]) == PimError.NO_DATA | 1 << 8
    device.mute_dram(1, False)
    assert_equals_the_golden_machine(device, 2)


def test_a_reset_at_any_time(device: VerilatedDevice) -> None:
    rng, drained = random.Random(3), 0
    for seed in range(12):
        commands, scratchpad = pim(rng, MACHINE)
        device.write_memory(0, scratchpad)
        start(device, steps_of(commands))
        assert not device.wait_interrupt(2500 + rng.randint(0, 800))  # the scratchpad is filled in the first of these
        device.write_register(OFFSETS["control"], RESET)
        drained += device.read_register(OFFSETS["status"]) & DRAINING > 0
        assert status_of(device, [Step(Engine.PIM, MODE)]) & (DONE | FAILED | DRAINING) == DONE  # though it was told at once
        settle(device)
        assert_equals_the_golden_machine(device, seed)
    assert drained  # some of them were awaited


TOKENS = 5


@pytest.fixture
def decoder(library: Path) -> Iterator[Decoder]:
    manifest = Manifest.of(compiled(causal_network(TOKENS, 24, 3, 16), MACHINE), rom=False)
    device = VerilatedDevice(library, memory_bytes=manifest.memory_bytes, dram=MACHINE.dram)
    with Decoder(Network(device, manifest)) as decoder:
        yield decoder


def assert_decodes(decoder: Decoder, seed: int) -> None:
    """All tokens that there is room for, as the executor does the whole sequence."""
    graph = causal_network(TOKENS, 24, 3, 16)
    tokens = np.random.default_rng(seed).integers(CHOICES, size=(1, TOKENS)).astype(np.int16)
    expected = execute(graph, {graph.inputs[0].name: tokens}, lanes=MACHINE.lanes)
    for row, token in enumerate(tokens[0].tolist()):
        outputs = decoder.step(token)
        for port in graph.outputs:
            assert (outputs[port.name][0] == expected[port.tensor.name][row]).all(), (row, port)


def test_tokens_are_decoded(decoder: Decoder) -> None:
    assert_decodes(decoder, 0)
    with pytest.raises(MappingError, match=r"^the cache is full: it has room for 5 tokens, and none for token 5$"):
        decoder.step(0)
    decoder.restart()
    assert_decodes(decoder, 1)  # what the first sequence left in the cache counts for nothing


def test_a_channel_without_data_is_named(decoder: Decoder) -> None:
    device = decoder.network.device
    assert isinstance(device, VerilatedDevice)
    decoder.step(1)
    device.mute_dram(1, True)
    message = r"^the machine stopped: macro failed in the pim at step \d+ \(op4\): no data, channel 1$"
    with pytest.raises(MachineError, match=message):
        decoder.step(2)
    device.mute_dram(1, False)
    assert decoder.length == 1
    decoder.restart()
    assert_decodes(decoder, 2)
