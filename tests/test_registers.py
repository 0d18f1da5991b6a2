"""The register map that PeakRDL writes is the one that the hardware and the driver use."""

import re
import subprocess
from pathlib import Path

import pytest
from celosia.gen.registers import write_register_map
from celosia.rtl.arch.record import Field, Record
from celosia.rtl.arch.registers import OFFSETS, REGISTERS, Access, block_registers
from systemrdl.compiler import RDLCompiler
from systemrdl.node import RegNode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registers")
    write_register_map(folder, REGISTERS, name="celosia")
    return folder


def test_offsets_are_distinct_words() -> None:
    assert len(set(OFFSETS.values())) == len(REGISTERS)
    assert all(offset % 4 == 0 for offset in OFFSETS.values())


def test_systemrdl_reads_back(folder: Path) -> None:
    compiler = RDLCompiler()
    compiler.compile_file(str(folder / "registers.rdl"))
    registers = [node for node in compiler.elaborate().top.children() if isinstance(node, RegNode)]
    assert {node.inst_name: node.address_offset for node in registers} == OFFSETS
    fields = {node.inst_name: {(f.inst_name, f.low, f.width) for f in node.fields()} for node in registers}
    assert fields["status"] == {(f.name, f.low, f.bits) for r in REGISTERS if r.name == "status" for f in r.fields}


def test_c_header_compiles_and_has_every_offset(folder: Path) -> None:
    checks = [f'_Static_assert(offsetof(celosia_t, {name}) == {offset}, "{name}");' for name, offset in OFFSETS.items()]
    source = '#include <stddef.h>\n#include "registers.h"\n' + "\n".join(checks) + "\n"
    command = ["g++", "-x", "c", "-std=c11", "-fsyntax-only", "-I", str(folder), "-"]
    subprocess.run(command, input=source, text=True, check=True)
    assert re.search(r"CELOSIA__CONTROL__START_bm 0x1\b", (folder / "registers.h").read_text())


RECORD = Record("block", (Field("small", 3), Field("negative", 16, signed=True), Field("wide", 48), Field("word", 32)))


def test_registers_of_a_block(tmp_path: Path) -> None:
    registers = block_registers("block", RECORD, controls=["reload"], errors=True)
    written = {r.name: r.bits for r in registers if r.access is Access.WRITE}
    assert written == {"reload": 1, "small": 3, "negative": 16, "wide_low": 32, "wide_high": 16, "word": 32}
    offsets = [r.offset for r in registers]
    assert offsets == sorted(set(offsets))
    write_register_map(tmp_path, registers, name="block")
    text = (tmp_path / "registers.rdl").read_text()
    compiler = RDLCompiler()
    compiler.compile_file(str(tmp_path / "registers.rdl"))
    found = {node.inst_name: node.address_offset for node in compiler.elaborate().top.children() if isinstance(node, RegNode)}
    assert found == {r.name: r.offset for r in registers}
    assert text.count("woclr") == len([r for r in registers if r.access is Access.CLEAR for _ in r.fields])


def test_a_block_without_anything_to_write_has_no_registers() -> None:
    assert block_registers("block", None, controls=[], errors=False) == ()
    assert [r.name for r in block_registers("block", None, controls=[], errors=True)] == ["identity", "version", "errors"]
