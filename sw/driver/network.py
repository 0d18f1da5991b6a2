"""Run a compiled network on a device: identity, upload, arrays in, arrays out, counters."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.pim import PimError
from ...rtl.arch.registers import ERROR_ENGINE_SEQUENCER, IDENTITY, OFFSETS, REGISTERS, ErrorCode
from ...rtl.arch.steps import Engine
from ..compiler.cost import ideal_cycles
from ..executor import InputError, dequantize_output, quantize_input
from ..manifest import Manifest, PortLayout
from .control import ACKNOWLEDGE, ERROR, RESET, START, Driver, check_identity, wait_for_end
from .device import Device, DeviceError

WATCHDOG_CYCLES = 1_000_000  # without a completed step, beside the longest step at SLOWDOWN times its ideal
SLOWDOWN = 64  # by a slow memory or scratchpad conflicts
TIMEOUT_CYCLES = 1 << 34
COUNTERS = tuple(r.name for r in REGISTERS if r.offset >= OFFSETS["cycles"])


class MachineError(DeviceError):
    """The machine stopped with an error. code: ErrorCode. step: index in the program. engine: Engine, or None for the sequencer."""

    def __init__(self, code: ErrorCode, step: int, engine: Engine | None, where: str) -> None:
        self.code, self.step, self.engine = code, step, engine
        place = engine.name.lower() if engine is not None else "sequencer"
        super().__init__(f"the machine stopped: {code.name.lower().replace('_', ' ')} in the {place} at step {step}{where}")


class Network(Driver):
    """A compiled network on an open device, which it owns. Its memory must hold ``manifest.memory_bytes`` from address ``base`` on.

    watchdog: cycles without a completed step after which the machine stops; by default well above the longest step's.

    Raises
    ------
    DeviceError
        If the device is not a Celosia accelerator of this format version, or was generated for another configuration.
    """

    def __init__(self, device: Device, manifest: Manifest, *, base: int = 0, watchdog: int | None = None) -> None:
        super().__init__(device, OFFSETS)
        self.manifest, self._base = manifest, base
        check_identity(device, IDENTITY, manifest.configuration, kind="accelerator", wanted=f"network {manifest.name} was compiled for")
        self._write("control", RESET | ACKNOWLEDGE)
        for name, value in (
            ("memory_base", base),
            ("memory_size", manifest.memory_bytes),
            ("program_base", base + manifest.program_offset),
            ("watchdog", default_watchdog(manifest) if watchdog is None else watchdog),
            ("interrupt_enable", 1),
        ):
            self._write(name, value)
        self._loaded = False

    def upload(self) -> None:
        """Write constants and program, and load the constants that stay in the scratchpad. Raises MachineError."""
        self.device.write_memory(self._base, self.manifest.constants)
        if not self.manifest.rom:
            self.device.write_memory(self._base + self.manifest.program_offset, self.manifest.code)
        if self.manifest.prologue:
            self._run(0, self.manifest.prologue)
        self._loaded = True

    def run(self, inputs: NDArray | Mapping[str, NDArray], position: int = 0) -> dict[str, NDArray]:
        """Run once. inputs: an array for each ONNX input by name, or the array of the only one. position: of a decoder, the token's place,
        when all before it have been run. Returns the ONNX outputs by name.

        Raises InputError on a wrong name, shape or type, MachineError where the machine stops; the next run starts anew.
        """
        return {port.port.name: dequantize_output(port.port, values) for port, values in self._outputs(inputs, position)}

    def run_integers(self, inputs: NDArray | Mapping[str, NDArray], position: int = 0) -> dict[str, NDArray]:
        """As `run`, but the outputs as the machine's integers [rows, cols], by ONNX output name."""
        return {port.port.name: values for port, values in self._outputs(inputs, position)}

    def counters(self) -> dict[str, int]:
        """The cycle and stall counters of the last run, by register name."""
        return {name: self._read(name) for name in COUNTERS}

    def _outputs(self, inputs: NDArray | Mapping[str, NDArray], position: int) -> Iterator[tuple[PortLayout, NDArray]]:
        m = self.manifest
        arrays = self._named(inputs)
        for port in m.inputs:
            values = quantize_input(port.port, np.asarray(arrays[port.port.name]))
            self.device.write_memory(self._base + port.offset, port.to_memory(values, m.parameters))
        if not self._loaded:
            self.upload()
        self._run(m.first_step(position), len(m.labels))
        for port in m.outputs:
            data = self.device.read_memory(self._base + port.offset, port.slots * m.parameters.slot_bytes)
            yield port, port.from_memory(data, m.parameters)

    def _named(self, inputs: NDArray | Mapping[str, NDArray]) -> Mapping[str, NDArray]:
        names = [port.port.name for port in self.manifest.inputs]
        if not isinstance(inputs, Mapping):
            if len(names) != 1:
                raise InputError(f"the network has the inputs {', '.join(names)}: give an array for each by name")
            return {names[0]: inputs}
        for name in inputs:
            if name not in names:
                raise InputError(f"input {name} is not one of the network's: {', '.join(names)}")
        for name in names:
            if name not in inputs:
                raise InputError(f"input {name} is missing")
        return inputs

    def _run(self, first: int, count: int) -> None:
        self._write("program_first", first)
        self._write("program_count", count)
        self._write("control", START)
        if wait_for_end(self.device, TIMEOUT_CYCLES) & ERROR:
            self._loaded = False
            self._fail()

    def _fail(self) -> None:
        error, step = self._read("error"), self._read("error_step")
        engine = None if error >> 8 == ERROR_ENGINE_SEQUENCER else Engine(error >> 8)
        labels, index = self.manifest.labels, step - self.manifest.prologue
        where = f" ({labels[index % len(labels)][0]})" if index >= 0 else ""
        if error & 0xFF == ErrorCode.MACRO_FAILED:
            found = self._read("pim_error")
            where += f": {PimError(found & 0xFF).name.lower().replace('_', ' ')}, channel {found >> 8}"
        self._write("control", RESET)
        raise MachineError(ErrorCode(error & 0xFF), step, engine, where)


def default_watchdog(manifest: Manifest) -> int:
    """Cycles that no step of the program should ever take."""
    longest = max((ideal_cycles(step, manifest.parameters) for step in manifest.steps), default=0)
    return min(WATCHDOG_CYCLES + SLOWDOWN * longest, (1 << 32) - 1)
