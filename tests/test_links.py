"""Links in a whole machine: bands of lines go from unit to unit, through the vector engine, to external memory, and are nowhere whole."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from celosia.gen.project import TOP
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.links import LINK_ADDRESS, MOST_LINK_WORDS, Connections, Link, link_address
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.registers import OFFSETS, ErrorCode
from celosia.rtl.arch.steps import CHANNEL, Engine, Step, VectorOperation, place_bits
from celosia.rtl.arch.window import Window
from celosia.sw.driver.network import ACKNOWLEDGE, ERROR, RESET, START
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.golden.machine import Machine
from celosia.tb.runner import build_machine
from numpy.typing import NDArray

MACHINE = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4, accumulator_depth=16, row_elements=16, units=2)
WINDOW = Window(height=12, width=4, kernel=(3, 3), pads=(1, 1, 1, 1))  # of 4 channels, a word for each pixel
BAND = 2  # lines
MAP_WORDS, BAND_WORDS, TAPS = WINDOW.height * WINDOW.width, BAND * WINDOW.width, WINDOW.taps
B, CHANNELS = MAP_WORDS, MAP_WORDS + 2 * TAPS * MACHINE.cols  # two matrices of weights, then what both products have in common
LOADED = CHANNELS + MACHINE.channel_words
OUT = LOADED * MACHINE.slot_bytes  # in the buffer; and behind it the program
PROGRAM = OUT + MAP_WORDS * MACHINE.slot_bytes
HALF = frozenset({0, 1})  # banks of the words that are loaded
CONNECTIONS = Connections(
    links=(
        Link(writer="compute0.write", reader="compute1.read_a", words=32),  # three bands, and what an earlier step left of one
        Link(writer="compute1.write", reader="vector.read_a", words=16),
        Link(writer="vector.write", reader="store.read", words=8),
    ),
    reach={"load.write": HALF, "compute0.read_a": HALF, "compute0.read_b0": HALF, "compute1.read_b0": HALF},
)


def convolve(unit: int, band: int, address: int) -> Step:
    """A band of lines of a convolution, from the map at an address to the unit's link."""
    lines = WINDOW.lines_read(band * BAND, BAND)
    walk = WINDOW.walk(
        address + lines[0] * WINDOW.width, WINDOW.width, 1 << place_bits(MACHINE.rows), line=band * BAND, top=lines[0], height=len(lines)
    )
    following = WINDOW.lines_read((band + 1) * BAND, BAND)[0] if (band + 1) * BAND < WINDOW.lines else WINDOW.height
    return Step(
        Engine.COMPUTE,
        {
            **walk,
            **{"m": WINDOW.columns, "lines": BAND, "k": 4, "n": 4, "a_zero_point": 3, "low": -128, "high": 127, "b_transposed": 1},
            **{"b": B + unit * TAPS * MACHINE.cols, "b_stride": TAPS, "channels": CHANNELS, "a_wait_load": 1},
            **{"out": link_address(unit) + band * BAND_WORDS, "out_stride": 1},
            "a_frees": (following - lines[0]) * WINDOW.width if unit else 0,
        },
        {Engine.LOAD: 1},
        unit=unit,
    )


def pass_on(band: int) -> Iterator[Step]:
    """A band that the second unit has made, rescaled and stored."""
    into, out = link_address(1) + band * BAND_WORDS, link_address(2) + band * BAND_WORDS
    matrices = {"a": into, "a_stride": 1, "out": out, "out_stride": 1, "rows": BAND_WORDS, "cols": 4, "a_frees": BAND_WORDS}
    scalars = {"multiplier_0": 20_000, "shift_0": 15, "low": -128, "high": 127}
    yield Step(Engine.VECTOR, {"operation": VectorOperation.RESCALE, **matrices, **scalars})
    external = OUT + band * BAND_WORDS * MACHINE.slot_bytes
    yield Step(Engine.STORE, {"external": external, "scratchpad": out, "rows": 1, "words": BAND_WORDS, "scratchpad_frees": BAND_WORDS})


def program() -> list[Step]:
    """The second unit's bands come a band behind the first one's, since they need a line of the next one."""
    steps = [Step(Engine.LOAD, {"rows": 1, "words": LOADED})]
    bands = WINDOW.lines // BAND
    for band in range(bands + 1):
        steps += [convolve(0, band, 0)] if band < bands else []
        steps += [convolve(1, band - 1, link_address(0)), *pass_on(band - 1)] if band else []
    return steps


def buffer() -> NDArray[np.uint8]:
    """What is in the driver's buffer before the run, up to the program."""
    words = np.random.default_rng(1).integers(0, 256, (PROGRAM // MACHINE.slot_bytes, MACHINE.slot_bytes), np.uint8)
    record = CHANNEL.pack({"bias": 1000, "multiplier": 33_000, "shift": 24}).to_bytes(8, "little") * MACHINE.cols
    words[CHANNELS:LOADED, : MACHINE.word_bytes] = np.frombuffer(record, np.uint8).reshape(MACHINE.channel_words, -1)
    return words.reshape(-1)


def expected(steps: list[Step], connections: Connections = CONNECTIONS) -> NDArray[np.uint8]:
    machine = Machine(MACHINE, PROGRAM, connections)
    machine.memory[:] = buffer()
    machine.run(steps)
    return machine.memory


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerilatedDevice]:
    verilog = tmp_path_factory.mktemp("links") / f"{TOP}.v"
    verilog.write_text(to_verilog(Accelerator(MACHINE, connections=CONNECTIONS), name=TOP))
    with VerilatedDevice(build_machine(verilog), memory_bytes=1 << 16) as device:
        yield device


def run(device: VerilatedDevice, steps: list[Step]) -> ErrorCode:
    """A run of these steps, after which the machine is reset if it failed."""
    device.write_memory(0, buffer())
    device.write_memory(PROGRAM, b"".join(step.encode() for step in steps))
    registers = {"memory_size": 1 << 16, "program_base": PROGRAM, "watchdog": 5000, "interrupt_enable": 1}
    for name, value in {**registers, "program_count": len(steps), "control": START}.items():
        device.write_register(OFFSETS[name], value)
    assert device.wait_interrupt(100_000)
    failed = device.read_register(OFFSETS["status"]) & ERROR
    code = ErrorCode(device.read_register(OFFSETS["error"]) & 0xFF)
    device.write_register(OFFSETS["control"], ACKNOWLEDGE | (RESET if failed else 0))
    return code


def test_a_pipeline_equals_the_model(device: VerilatedDevice) -> None:
    """More than once: the rings do not end where they began, and each run begins with empty ones; after a run that stopped, too."""
    steps, wanted = program(), expected(program()).tobytes()
    assert len(set(wanted[OUT:])) > 20
    nowhere = link_address(len(CONNECTIONS.links))
    wrong = [replace(step, command={**step.command, "out": nowhere}) if step.engine is Engine.VECTOR else step for step in steps]
    for number in range(3):
        if number == 1:
            assert run(device, wrong) is ErrorCode.SCRATCHPAD_ADDRESS
        assert run(device, steps) is ErrorCode.NONE
        assert device.read_memory(0, PROGRAM) == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda steps: [*steps[:2], steps[3], steps[2], *steps[4:]], "link 0 .*: word 8 is read, but not filled"),
        (lambda steps: [steps[0], *(convolve(0, band, 0) for band in range(5))], "link 0 .*: word 0 is written, but not free"),
        (lambda steps: [*steps[:3], replace(steps[3], command={**steps[3].command, "a_frees": 17})], "frees 17 words, but only 16"),
        (lambda steps: [*steps[:1], steps[2]], "link 0 .*: a step writes other words than the first free ones"),
        (lambda steps: [steps[0], replace(steps[1], unit=1)], "link 0 .*: it is not one of compute1.write's"),
    ],
    ids=["order", "full", "frees", "gap", "port"],
)
def test_a_program_that_might_hang_is_refused(change: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected(change(program()))  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"writer": "compute0.read_a"}, "writer must be the write port of a worker"),
        ({"reader": "compute1.read_b0"}, "reader must be read_a of a worker, deform.read_offsets, or store.read"),
        ({"words": 24}, "words must be a power of two"),
        ({"words": 2 * MOST_LINK_WORDS}, "words must be a power of two"),
    ],
)
def test_a_link_is_checked(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(CONNECTIONS.links[0], **fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("connections", "machine", "message"),
    [
        (CONNECTIONS, replace(MACHINE, scratchpad_kib=65536), f"scratchpad words must be at most {LINK_ADDRESS}"),
        (Connections(reach={"load.write": frozenset({4})}), MACHINE, "reach of load.write must be of 4 banks"),
        (CONNECTIONS, replace(MACHINE, units=1), "port of a link must be of one of load, store, compute, vector, not"),
    ],
)
def test_connections_are_checked(connections: Connections, machine: MachineParameters, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        connections.check(machine)
