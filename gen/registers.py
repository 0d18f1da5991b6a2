"""A register map of rtl/arch/registers.py as SystemRDL and as a C header, both by PeakRDL."""

from collections.abc import Sequence
from pathlib import Path

from peakrdl_cheader.exporter import CHeaderExporter
from peakrdl_systemrdl.exporter import SystemRDLExporter
from systemrdl.compiler import RDLCompiler
from systemrdl.component import Field
from systemrdl.importer import RDLImporter
from systemrdl.node import RootNode
from systemrdl.rdltypes.builtin_enums import AccessType, OnWriteType

from ..rtl.arch.registers import Access, BitField, Register

_SOFTWARE = {Access.READ: AccessType.r, Access.WRITE: AccessType.rw, Access.TRIGGER: AccessType.w, Access.CLEAR: AccessType.rw}
_HARDWARE = {Access.READ: AccessType.w, Access.WRITE: AccessType.r, Access.TRIGGER: AccessType.r, Access.CLEAR: AccessType.w}


def register_model(registers: Sequence[Register], name: str) -> RootNode:
    """The elaborated SystemRDL model of the map ``name``."""
    compiler = RDLCompiler()
    importer = RDLImporter(compiler)
    importer.default_src_ref = None  # pyright: ignore[reportAttributeAccessIssue] - its own type is wrong
    top = importer.create_addrmap_definition(name)
    for register in registers:
        definition = importer.create_reg_definition(register.name)
        importer.assign_property(definition, "desc", register.text)
        importer.assign_property(definition, "regwidth", 32)
        for field in register.fields or (BitField("value", 0, 32, register.text),):
            importer.add_child(definition, _field(importer, register, field))
        importer.add_child(top, importer.instantiate_reg(definition, register.name, register.offset))
    importer.register_root_component(top)
    return compiler.elaborate()


def _field(importer: RDLImporter, register: Register, field: BitField) -> Field:
    definition = importer.create_field_definition(field.name)
    importer.assign_property(definition, "desc", field.text)
    importer.assign_property(definition, "sw", _SOFTWARE[register.access])
    importer.assign_property(definition, "hw", _HARDWARE[register.access])
    if register.access is Access.TRIGGER:
        importer.assign_property(definition, "singlepulse", True)
    if register.access is Access.CLEAR:
        importer.assign_property(definition, "onwrite", OnWriteType.woclr)
        importer.assign_property(definition, "hwset", True)
    if register.access is not Access.READ:
        importer.assign_property(definition, "reset", 0)
    return importer.instantiate_field(definition, field.name, field.low, field.bits)


def write_register_map(folder: Path, registers: Sequence[Register], *, name: str) -> None:
    """Write registers.rdl and registers.h, of an address map ``name``, into ``folder``."""
    model = register_model(registers, name)
    SystemRDLExporter().export(model, str(folder / "registers.rdl"))
    CHeaderExporter().export(model, str(folder / "registers.h"), generate_bitfields=True, reuse_typedefs=False)
