"""The register map as SystemRDL and as a C header, both by PeakRDL, from rtl/arch/registers.py."""

from pathlib import Path

from peakrdl_cheader.exporter import CHeaderExporter
from peakrdl_systemrdl.exporter import SystemRDLExporter
from systemrdl.compiler import RDLCompiler
from systemrdl.component import Field
from systemrdl.importer import RDLImporter
from systemrdl.node import RootNode
from systemrdl.rdltypes.builtin_enums import AccessType

from ..rtl.arch.registers import REGISTERS, Access, BitField, Register

_SOFTWARE = {Access.READ: AccessType.r, Access.WRITE: AccessType.rw, Access.TRIGGER: AccessType.w}
_HARDWARE = {Access.READ: AccessType.w, Access.WRITE: AccessType.r, Access.TRIGGER: AccessType.r}


def register_model() -> RootNode:
    """The elaborated SystemRDL model of the map."""
    compiler = RDLCompiler()
    importer = RDLImporter(compiler)
    importer.default_src_ref = None  # pyright: ignore[reportAttributeAccessIssue] - its own type is wrong
    top = importer.create_addrmap_definition("celosia")
    for register in REGISTERS:
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
    if register.access is not Access.READ:
        importer.assign_property(definition, "reset", 0)
    return importer.instantiate_field(definition, field.name, field.low, field.bits)


def write_register_map(folder: Path) -> None:
    """Write registers.rdl and registers.h into ``folder``."""
    model = register_model()
    SystemRDLExporter().export(model, str(folder / "registers.rdl"))
    CHeaderExporter().export(model, str(folder / "registers.h"), generate_bitfields=True, reuse_typedefs=False)
