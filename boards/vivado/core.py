"""A circuit as a core of Vivado's catalog: its Verilog, and the IP-XACT (IEEE 1685-2009) that says which of its ports are a bus."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

from amaranth.hdl import Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...gen.platforms import Platform
from ...gen.verilog import to_verilog
from .ipxact import Tree, element, named, vlnv, write

VENDOR, LIBRARY, VERSION = "celosia", "user", "1.0"
OUTSTANDING = 16  # bursts of a master that an interconnect should let through before the first has ended
CLOCK, RESET, INTERRUPT = "clk", "rst", "irq"
_AXI = re.compile(r"[sm]\d*_axil?_")
_VIEWS = {"xilinx_anylanguagesynthesis": "synthesis", "xilinx_anylanguagebehavioralsimulation": "simulation"}
_GUI, _GUI_FILE = "xilinx_xpgui", "xgui.tcl"
# Vivado wants a page of settings for each core, and this one has none but the name that the user gives it.
_GUI_TEXT = 'proc init_gui { IPINST } {\n  ipgui::add_param $IPINST -name "Component_Name"\n}\n'


@dataclass(frozen=True, kw_only=True)
class Bus:
    """An AXI bus of a core. ports: the core's, by AXI's names. memory: bytes behind a slave, but not of one without bursts, whose registers
    take all that it can address."""

    name: str
    ports: Mapping[str, wiring.Member]
    memory: int

    @property
    def is_master(self) -> bool:
        return self.name.startswith("m")

    @property
    def is_lite(self) -> bool:
        return "AWLEN" not in self.ports

    @property
    def block(self) -> tuple[str, int]:
        """Of a slave: what is behind it, and how many bytes."""
        return ("registers", 1 << self.bits("AWADDR")) if self.is_lite else ("memory", self.memory)

    def bits(self, port: str) -> int:
        return Shape.cast(self.ports[port].shape).width

    @property
    def parameters(self) -> dict[str, object]:
        """As Vivado knows them."""
        sizes = {"ADDR_WIDTH": self.bits("AWADDR"), "DATA_WIDTH": self.bits("WDATA")}
        if self.is_lite:
            return {"PROTOCOL": "AXI4LITE", **sizes}
        outstanding = {f"NUM_{kind}_OUTSTANDING": OUTSTANDING for kind in ("READ", "WRITE")} if self.is_master else {}
        return {"PROTOCOL": "AXI4", **sizes, "ID_WIDTH": self.bits("AWID"), "SUPPORTS_NARROW_BURST": 0, **outstanding}


@dataclass(frozen=True, kw_only=True, eq=False)
class Core:
    """name: of its module, its file and its cell. component: with flat ports. text: what it is. family: of Vivado's, as zynq. clock: in Hz,
    where it works with no other. memory: bytes behind its AXI4 slaves."""

    name: str
    component: wiring.Component
    text: str
    family: str
    clock: int | None = None
    memory: int = 0
    platform: Platform | None = None

    @cached_property
    def ports(self) -> dict[str, wiring.Member]:
        """Of its module."""
        return {CLOCK: In(1), RESET: In(1), **dict(self.component.signature.members.items())}

    @cached_property
    def buses(self) -> tuple[Bus, ...]:
        found: dict[str, dict[str, wiring.Member]] = {}
        for name, member in self.ports.items():
            if prefix := _AXI.match(name):
                found.setdefault(prefix[0], {})[name.removeprefix(prefix[0]).upper()] = member
        return tuple(Bus(name=prefix.removesuffix("_"), ports=ports, memory=self.memory) for prefix, ports in found.items())

    @property
    def blocks(self) -> dict[str, tuple[str, int]]:
        """Of its slaves by the bus's name, as `Bus` has them."""
        return {bus.name: bus.block for bus in self.buses if not bus.is_master}

    def write(self, folder: Path) -> None:
        """The core, into a new folder. Raises ToolError."""
        folder.mkdir(parents=True)
        (folder / f"{self.name}.v").write_text(to_verilog(self.component, name=self.name, platform=self.platform))
        (folder / _GUI_FILE).write_text(_GUI_TEXT)
        (folder / "component.xml").write_bytes(write(self.description()))

    def description(self) -> ElementTree.Element:
        """In IP-XACT, the elements in the order that its schema wants."""
        masters, slaves = ([bus for bus in self.buses if bus.is_master is side] for side in (True, False))
        spaces = [named("addressSpace", bus.name, ("range", 1 << bus.bits("AWADDR")), ("width", bus.bits("WDATA"))) for bus in masters]
        component_name = _parameter("Component_Name", self.name, {"resolve": "user", "id": "PARAM_VALUE.Component_Name"})
        return element(
            "component",
            *(("vendor", VENDOR), ("library", LIBRARY), ("name", self.name), ("version", VERSION)),
            ("busInterfaces", [*(self._axi(bus) for bus in self.buses), *self._signals()]),
            *([("addressSpaces", spaces)] if spaces else []),
            *([("memoryMaps", [_memory_map(bus) for bus in slaves])] if slaves else []),
            ("model", [("views", _views(self.name)), ("ports", [_port(name, member) for name, member in self.ports.items()])]),
            ("fileSets", _file_sets(f"{self.name}.v")),
            ("description", self.text),
            ("parameters", [component_name]),
            ("vendorExtensions", [_extensions(self.text, self.family)]),
        )

    def _axi(self, bus: Bus) -> Tree:
        master = ("master", [("addressSpaceRef", {"addressSpaceRef": bus.name})])
        slave = ("slave", [("memoryMapRef", {"memoryMapRef": bus.name})])
        ports = {logical: f"{bus.name}_{logical.lower()}" for logical in bus.ports}
        return _interface(bus.name, "interface:aximm", master if bus.is_master else slave, ports, bus.parameters)

    def _signals(self) -> Iterable[Tree]:
        """Clock, reset and interrupt."""
        buses = {"ASSOCIATED_BUSIF": ":".join(bus.name for bus in self.buses), "ASSOCIATED_RESET": RESET}
        # Where it is not said, it is that of the net: a system's clock is seldom the round number that was asked for.
        rate = {} if self.clock is None else {"FREQ_HZ": self.clock}
        yield _interface(CLOCK, "signal:clock", ("slave", []), {"CLK": CLOCK}, buses | rate)
        yield _interface(RESET, "signal:reset", ("slave", []), {"RST": RESET}, {"POLARITY": "ACTIVE_HIGH"})
        if irq := self.ports.get(INTERRUPT):
            side = "slave" if irq.flow is In else "master"
            yield _interface(INTERRUPT, "signal:interrupt", (side, []), {"INTERRUPT": INTERRUPT}, {"SENSITIVITY": "LEVEL_HIGH"})


def _interface(name: str, kind: str, side: Tree, ports: Mapping[str, str], parameters: Mapping[str, object]) -> Tree:
    """kind: library and name of one of Xilinx's buses. ports: the core's by the bus's names."""
    library, bus = kind.split(":")
    maps = [
        ("portMap", [("logicalPort", [("name", logical)]), ("physicalPort", [("name", physical)])]) for logical, physical in ports.items()
    ]
    values = [_parameter(key, value, {"id": f"BUSIFPARAM_VALUE.{name.upper()}.{key}"}) for key, value in parameters.items()]
    types = ("busType", vlnv("xilinx.com", library, bus)), ("abstractionType", vlnv("xilinx.com", library, f"{bus}_rtl"))
    return named("busInterface", name, *types, side, ("portMaps", maps), ("parameters", values))


def _parameter(name: str, value: object, about: Mapping[str, str]) -> Tree:
    return named("parameter", name, ("value", value, about))


def _memory_map(bus: Bus) -> Tree:
    block, size = bus.block
    about = ("baseAddress", 0), ("range", size), ("width", bus.bits("WDATA")), ("usage", "register" if bus.is_lite else "memory")
    return named("memoryMap", bus.name, named("addressBlock", block, *about))


def _views(module: str) -> list[Tree]:
    def view(name: str, purpose: str, *about: Tree) -> Tree:
        return named(
            "view", name, ("envIdentifier", f":vivado.xilinx.com:{purpose}"), *about, ("fileSetRef", [("localName", _file_set(name))])
        )

    verilog = ("language", "Verilog"), ("modelName", module)
    return [*(view(name, purpose, *verilog) for name, purpose in _VIEWS.items()), view(_GUI, "xgui.ui")]


def _port(name: str, member: wiring.Member) -> Tree:
    width = Shape.cast(member.shape).width
    vector: list[Tree] = [("vector", [("left", width - 1), ("right", 0)])] if width > 1 else []
    types = ("wireTypeDefs", [("wireTypeDef", [("typeName", "wire"), *(("viewNameRef", view) for view in _VIEWS)])])
    return named("port", name, ("wire", [("direction", "in" if member.flow is In else "out"), *vector, types]))


def _file_sets(verilog: str) -> list[Tree]:
    def file_set(view: str, file: str, *kinds: Tree) -> Tree:
        return named("fileSet", _file_set(view), named("file", file, *kinds))

    gui = ("fileType", "tclSource"), ("userFileType", "XGUI_VERSION_2")
    return [*(file_set(view, verilog, ("fileType", "verilogSource")) for view in _VIEWS), file_set(_GUI, _GUI_FILE, *gui)]


def _file_set(view: str) -> str:
    return f"{view}_view_fileset"


def _extensions(text: str, family: str) -> Tree:
    families = ("xilinx:supportedFamilies", [("xilinx:family", family, {"xilinx:lifeCycle": "Production"})])
    taxonomies = ("xilinx:taxonomies", [("xilinx:taxonomy", "/UserIP")])
    return ("xilinx:coreExtensions", [families, taxonomies, ("xilinx:displayName", text), ("xilinx:coreRevision", 1)])
