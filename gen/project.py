"""A compiled network's folder: Verilog, program, constants, manifest, register map, and the simulator built from them."""

from pathlib import Path

from ..rtl.accelerator import Accelerator
from ..rtl.arch.registers import REGISTERS
from ..sw.compiler.program import Program
from ..sw.devices import SIMULATION
from ..sw.manifest import MANIFEST, Manifest
from .folder import fresh_folder
from .platforms import check_family
from .registers import write_register_map
from .simulation import build_library
from .verilog import verilog_files

TOP = "accelerator"
VERILOG = f"{TOP}.v"
WHOLE = "whole"  # folder of the program from which nothing is left out
WAVEFORM = "waveform"  # folder of the simulator that can write waveforms


def accelerator(manifest: Manifest) -> Accelerator:
    """The circuit of a compiled network."""
    return Accelerator(manifest.parameters, program=manifest.code if manifest.rom else None, connections=manifest.connections)


def write_project(
    program: Program, folder: Path | str, *, rom: bool = False, fpga: str | None = None, whole: Program | None = None
) -> Manifest:
    """Write all but the simulator into ``folder``, which is replaced whole or not at all. rom: the program goes into the circuit.
    fpga: one of PLATFORMS, for which the Verilog is written once more, made of its blocks: for synthesis. whole: the program from which
    nothing is left out, for the same circuit, for `celosia report`.

    Raises OutputError if ``folder`` holds something else or can't be written, ParameterError for a machine that the family can't be.
    """
    check_family(fpga, program.parameters)
    manifest = Manifest.of(program, rom=rom)
    with fresh_folder(Path(folder), marker=MANIFEST) as new:
        manifest.save(new)
        if whole is not None:
            (new / WHOLE).mkdir()
            Manifest.of(whole, rom=False).save(new / WHOLE)
        for file, text in verilog_files(accelerator(manifest), name=TOP, fpga=fpga).items():
            (new / file).write_text(text)
        write_register_map(new, REGISTERS, name="celosia")
    return manifest


def build_simulator(folder: Path | str, *, waveform: bool = False) -> Path:
    """Build the simulator of a project's Verilog, unless it is there. waveform: the slower one that can write waveforms.

    Raises ToolError where a tool is missing or fails.
    """
    folder = Path(folder)
    return build_library(folder / VERILOG, TOP, folder / (WAVEFORM if waveform else SIMULATION), trace=waveform)
