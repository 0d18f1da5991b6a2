"""Offsets go from the compute unit to the deform engine through a link, and its results on through another one, and are nowhere whole."""

from collections.abc import Iterator

import numpy as np
import pytest
from celosia.gen.project import TOP
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.deform import Form
from celosia.rtl.arch.links import Connections, Link, link_address
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.registers import OFFSETS, ErrorCode
from celosia.rtl.arch.steps import CHANNEL, Engine, Step, place_bits
from celosia.rtl.arch.window import Window
from celosia.sw.driver.network import START
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.golden.machine import Machine
from celosia.tb.runner import build_machine
from numpy.typing import NDArray

MACHINE = MachineParameters(
    rows=4,
    cols=4,
    lanes=2,
    scratchpad_kib=1,
    banks=4,
    accumulator_depth=16,
    row_elements=16,
    deform_kernel=3,
    deform_reach=2,
    deform_width=8,
)
LINES, COLUMNS, GROUPS, BAND = 6, 8, 2, 2  # of a map whose pixels are two words; lines of a band
PIXELS, BAND_WORDS = LINES * COLUMNS, BAND * COLUMNS
WEIGHTS = GROUPS * PIXELS  # behind the map: those of the offsets' convolution, its record, the kernels
CHANNELS = WEIGHTS + GROUPS
KERNELS = CHANNELS + MACHINE.channel_words
LOADED = KERNELS + GROUPS * MACHINE.deform_group_words
OUT = LOADED * MACHINE.slot_bytes  # in the buffer; and behind it the program
PROGRAM = OUT + GROUPS * PIXELS * MACHINE.slot_bytes
CONNECTIONS = Connections(
    links=(
        Link(writer="compute.write", reader="deform.read_offsets", words=2 * BAND_WORDS),
        Link(writer="deform.write", reader="store.read", words=2 * GROUPS * BAND_WORDS),
    )
)


def program() -> list[Step]:
    """The map in bands of results: each band's offsets are read once for each word of channels."""
    window = Window(height=LINES, width=COLUMNS, kernel=(1, 1))
    steps = [Step(Engine.LOAD, {"rows": 1, "words": LOADED})]
    for band in range(LINES // BAND):
        line, place = band * BAND, band * BAND_WORDS
        walk = window.walk(GROUPS * line * COLUMNS, GROUPS * COLUMNS, GROUPS << place_bits(MACHINE.rows), line=line, top=line, height=BAND)
        product = {"m": COLUMNS, "lines": BAND, "k": 8, "n": 1, "b": WEIGHTS, "b_stride": GROUPS, "channels": CHANNELS, "b_transposed": 1}
        offsets = {"out": link_address(0) + place, "out_stride": 1, "low": -1, "high": 1, "a_wait_load": 1}
        steps.append(Step(Engine.COMPUTE, {**walk, **product, **offsets}, {Engine.LOAD: 1}))
        top, bottom = max(line - 2, 0), min(line + BAND + 2, LINES)
        feature_map = {
            **{"a": GROUPS * top * COLUMNS, "a_pixel": GROUPS, "a_line": GROUPS * COLUMNS, "height": bottom - top, "width": COLUMNS},
            **{"y_start": line - top, "y_step": 1, "x_step": 1, "reach": 2, "dilation": 1, "form": Form.SQUARE},
        }
        taken = {
            **{"offsets": link_address(0) + place, "offsets_stride": 1, "offsets_line": COLUMNS, "offsets_frees": BAND_WORDS},
            **{"offset_low": -1, "offset_high": 1, "b": KERNELS, "groups": GROUPS, "lines": BAND, "columns": COLUMNS},
        }
        results = {"out": link_address(1) + GROUPS * place, "out_pixel": GROUPS, "out_line": GROUPS * COLUMNS, "low": -128, "high": 127}
        steps.append(Step(Engine.DEFORM, {**feature_map, **taken, **results}, {Engine.LOAD: 1}))
        words, external = GROUPS * BAND_WORDS, OUT + GROUPS * place * MACHINE.slot_bytes
        store = {"external": external, "scratchpad": link_address(1) + GROUPS * place, "rows": 1, "words": words, "scratchpad_frees": words}
        steps.append(Step(Engine.STORE, store))
    return steps


def buffer() -> NDArray[np.uint8]:
    """What is in the driver's buffer before the run, up to the program."""
    words = np.random.default_rng(1).integers(0, 256, (PROGRAM // MACHINE.slot_bytes, MACHINE.slot_bytes), np.uint8)

    def record(shift: int) -> NDArray[np.uint8]:
        fields = {"bias": 1000, "multiplier": 33_000, "shift": shift}
        return np.frombuffer(CHANNEL.pack(fields).to_bytes(8, "little") * MACHINE.cols, np.uint8).reshape(-1, MACHINE.word_bytes)

    words[CHANNELS:KERNELS, : MACHINE.word_bytes] = record(30)
    for group in range(GROUPS):
        start = KERNELS + group * MACHINE.deform_group_words + MACHINE.deform_weight_words
        words[start : start + 8, : MACHINE.word_bytes] = record(24)
    return words.reshape(-1)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerilatedDevice]:
    verilog = tmp_path_factory.mktemp("links") / f"{TOP}.v"
    verilog.write_text(to_verilog(Accelerator(MACHINE, connections=CONNECTIONS), name=TOP))
    with VerilatedDevice(build_machine(verilog), memory_bytes=1 << 16) as device:
        yield device


def test_bands_of_offsets(device: VerilatedDevice) -> None:
    steps = program()
    machine = Machine(MACHINE, PROGRAM, CONNECTIONS)
    machine.memory[:] = buffer()
    machine.run(steps)
    assert len(set(machine.memory[OUT:].tolist())) > 50
    device.write_memory(0, buffer())
    device.write_memory(PROGRAM, b"".join(step.encode() for step in steps))
    registers = {"memory_size": 1 << 16, "program_base": PROGRAM, "watchdog": 5000, "interrupt_enable": 1}
    for name, value in {**registers, "program_count": len(steps), "control": START}.items():
        device.write_register(OFFSETS[name], value)
    assert device.wait_interrupt(100_000)
    assert device.read_register(OFFSETS["error"]) == ErrorCode.NONE
    assert device.read_memory(0, PROGRAM) == machine.memory.tobytes()
