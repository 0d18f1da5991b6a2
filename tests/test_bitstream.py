"""Boards' circuits to bitstreams, in small; their clocks; and networks that a board can't hold."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from celosia.boards import BOARDS, NETWORK_BOARDS, OPEN_BOARDS
from celosia.boards.bitstream import ECP5, MOST_SECONDS, SEEDS, Report, placed
from celosia.boards.board import BoardError
from celosia.boards.pll import OSCILLATOR, pll_for
from celosia.boards.sdram_pads import SdramPads
from celosia.gen.verilator import ToolError
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.sdram import ULX3S
from celosia.rtl.memory.sdram import SdramController
from celosia.sw import compile_model
from celosia.sw.block import BlockManifest
from celosia.sw.manifest import Manifest
from test_cli import celosia, refused

PORTS = "one stream in, one out, and a result for each element"
DIGITS = Path(__file__).parents[1] / "examples" / "digits" / "digits_qdq.onnx"


class Echo(wiring.Component):
    """In place of a system. words: of 16 bits, through which an echo comes."""

    def __init__(self, words: int = 1 << 10) -> None:
        self._words = words
        super().__init__({"rx": In(1), "tx": Out(1), "lights": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.kept = kept = memory.Memory(shape=16, depth=self._words, init=[])
        write, read, place, word = kept.write_port(), kept.read_port(), Signal(range(self._words)), Signal(16)
        m.d.sync += [place.eq(place + 1), word.eq(Cat(self.rx, word)), self.tx.eq(read.data.xor()), self.lights.eq(read.data)]
        m.d.comb += [write.addr.eq(place), read.addr.eq(place + 1), write.data.eq(word), write.en.eq(1)]
        return m


class EchoOfSdram(wiring.Component):
    """The same, from a chip."""

    def __init__(self) -> None:
        self._memory = SdramController(ULX3S, 4, capture=SdramPads.capture)
        super().__init__({"rx": In(1), "tx": Out(1), "lights": Out(4), "chip": self._memory.signature.members["chip"]})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = self._memory
        wiring.connect(m, wiring.flipped(self.chip), memory.chip)
        place, last = Signal(16), Signal(32)
        m.d.sync += place.eq(place + 4)
        m.d.comb += [memory.s_axi_araddr.eq(place), memory.s_axi_arvalid.eq(1), memory.s_axi_rready.eq(1)]
        m.d.comb += [memory.s_axi_awaddr.eq(place), memory.s_axi_awvalid.eq(self.rx), memory.s_axi_bready.eq(1)]
        m.d.comb += [memory.s_axi_wdata.eq(place), memory.s_axi_wvalid.eq(1), memory.s_axi_wstrb.eq(~0), memory.s_axi_wlast.eq(1)]
        with m.If(memory.s_axi_rvalid):
            m.d.sync += last.eq(memory.s_axi_rdata)
        m.d.comb += [self.tx.eq(last.xor()), self.lights.eq(last)]
        return m


@pytest.mark.parametrize("name", OPEN_BOARDS)
def test_a_small_bitstream(name: str, tmp_path: Path) -> None:
    board = OPEN_BOARDS[name]
    report = board.bitstream(Echo(), tmp_path / "out")
    assert report.closes
    assert report.clock == pytest.approx(board.clock / 1e6, rel=1e-3)  # nextpnr rounds an iCE40's to picoseconds
    blocks = {"ulx3s-85f": ("DP16KD", 1, "EHXPLLL", 4), "ulx3s-25f": ("DP16KD", 1, "EHXPLLL", 2)}
    memory, used, pll, plls = blocks.get(name, ("ICESTORM_RAM", 4, "ICESTORM_PLL", 1))
    assert report.used[memory][0] == used
    assert report.used[pll] == (1, plls)
    written = tmp_path / "out" / ("top.bin" if name == "icebreaker" else "top.bit")
    assert written.stat().st_size > 50_000
    assert report.lines(tmp_path / "out")[-1].startswith(f"{written}: ")


def test_sdram(tmp_path: Path) -> None:
    """All its pins have their registers in the pads."""
    board = OPEN_BOARDS["ulx3s-25f"]
    report = board.bitstream(EchoOfSdram(), tmp_path / "out")
    assert report.closes
    assert report.used["IOLOGIC"][0] == 13 + 2 + 2 + 16 + 6  # address, bank, masks, data, one each of the others


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    for name, needs in (("ulx3s-25f", "DP16KD 64 of 56"), ("icebreaker", "ICESTORM_RAM 256 of 30")):
        with pytest.raises(ToolError, match=rf"^the circuit does not fit the device: {needs}$"):
            OPEN_BOARDS[name].bitstream(Echo(1 << 16), tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mhz", [25, 40, 50, 62.5, 100])
def test_clocks(mhz: float) -> None:
    pll = pll_for(25_000_000, int(mhz * 1e6))
    assert pll.clock == int(mhz * 1e6)
    assert 25_000_000 * pll.multiplier == pll.clock * pll.input_divider
    assert pll.clock * pll.divider in OSCILLATOR
    with pytest.raises(ValueError, match=r"^no clock within 1 % of 3000000 Hz can be made of 25000000 Hz$"):
        pll_for(25_000_000, 3_000_000)


def test_seeds(tmp_path: Path) -> None:
    """Until one meets the clock; the others are given up as early as can be seen."""
    tried, seen = list[int](), list[str]()

    def place(options: Sequence[str], folder: Path, *, progress: Callable[[str], None]) -> dict[str, Any]:
        seed = int(options[options.index("--seed") + 1])
        tried.append(seed)
        progress(f"Info: Max frequency for clock 'c': {34.99 if seed in slow else 35.01} MHz (FAIL at 50.00 MHz)")
        progress("Info: Routing 100 arcs.")
        for second, left in ((9, 70), (9 + MOST_SECONDS, 70), (10 + MOST_SECONDS, 70 if seed in tangled else 69)):
            progress(f"Info:       1000 |      413        586 |  413   586 |        {left}|       9.01 {second:10.2f}|")
        progress("Info: Max frequency for clock 'c': 49.00 MHz (FAIL at 50.00 MHz)")
        return {"fmax": {"c": {"constraint": 50.0, "achieved": 51.0 if seed == good else 49.0}}, "utilization": {}}

    slow, tangled, good = {1}, {2}, 4
    tools = replace(ECP5, place=place)
    assert placed(tools, [], tmp_path, seen.append).closes
    assert tried == [1, 2, 3, 4]
    assert seen[-6] == "seed 4: Max frequency for clock 'c': 35.01 MHz (FAIL at 50.00 MHz)"
    assert seen[-5:] == [f"seed 4: {left} of 100 arcs to be routed" for left in (100, 70, 70, 69, 69)]
    tried.clear()
    slow, tangled, good = {*SEEDS}, {5}, 0
    assert not placed(tools, [], tmp_path, seen.append).closes
    assert tried == [*SEEDS]
    tangled = {6}
    with pytest.raises(ToolError, match=r"^the circuit fits the device, but its wires find no way$"):
        placed(tools, [], tmp_path, seen.append)


def test_a_report_is_of_the_slowest_clock() -> None:
    fmax = {"a": {"constraint": 25.0, "achieved": 300.0}, "b": {"constraint": 50.0, "achieved": 49.0}}
    found = {"fmax": fmax, "utilization": {"X": {"used": 1, "available": 2}, "Y": {"used": 0, "available": 2}}}
    report = Report.of(found, "top.bit")
    assert (report.clock, report.achieved, report.closes, report.used) == (50.0, 49.0, False, {"X": (1, 2)})


def digits(bus_bytes: int) -> Manifest:
    return Manifest.of(compile_model(DIGITS, MachineParameters(rows=8, cols=8, lanes=1, scratchpad_kib=64, bus_bytes=bus_bytes)), rom=False)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return digits(8)


@pytest.fixture(scope="module")
def wide() -> Manifest:
    return digits(16)


def test_the_smallest_memory_that_a_network_fits(manifest: Manifest) -> None:
    assert NETWORK_BOARDS["ulx3s-85f"].chip_for(manifest) is None
    chip = NETWORK_BOARDS["ulx3s-25f"].chip_for(manifest)
    assert chip == replace(ULX3S, mhz=50)


def test_a_network_that_is_too_large(manifest: Manifest, wide: Manifest, tmp_path: Path) -> None:
    huge = replace(manifest, memory_bytes=1 << 26)
    for refused_one, message in (
        (huge, r"digits_qdq needs 67,108,864 bytes of memory, but ulx3s-25f has 33,554,432"),
        (wide, r"digits_qdq needs [\d,]+ bytes of memory: ulx3s-25f's SDRAM, with bus_bytes 4 or 8, not 16"),
    ):
        with pytest.raises(BoardError, match=f"^{message}$"):
            BOARDS["ulx3s-25f"].build(refused_one, tmp_path / "out")
    with pytest.raises(BoardError, match=r"^digits_qdq needs 67,108,864 bytes of memory, but ulx3s-25f has 49,152$"):
        replace(NETWORK_BOARDS["ulx3s-25f"], chip=None).system(huge)
    assert not (tmp_path / "out").exists()


def test_build_command(wide: Manifest, tmp_path: Path) -> None:
    wide.save(tmp_path)
    assert refused("build", tmp_path, "--board", "x") == f"no board x: there are {', '.join(BOARDS)} (main build --help)"
    assert refused("build", tmp_path, "--board", "x", "--waveform") == "--waveform is the simulator's (main build --help)"
    assert refused("build", tmp_path, "--board", "ulx3s-25f").endswith("SDRAM, with bus_bytes 4 or 8, not 16")


def test_boards_command() -> None:
    lines = celosia("boards").stdout.splitlines()
    for name in {*BOARDS, *OPEN_BOARDS}:
        assert any(line.split("│")[1].strip() == name for line in lines if "│" in line)
    assert any("icebreaker" in line and "iCE40UP5K, by open tools: single blocks " in line for line in lines)
    assert any("ulx3s-25f" in line and "LFE5U-25F, by open tools: single blocks, networks" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("softmax", "--board", "x"), "no board x: there are ulx3s-85f, ulx3s-25f, icebreaker (main generate softmax --help)"),
        (("softmax", "--board", "icebreaker"), "softmax without scales gets its parameters at run time: for a board build in scales"),
        *(((name, "--board", "icebreaker"), f"{name} can't be on a board alone, only a block with {PORTS}") for name in ("add", "kbest")),
    ],
)
def test_blocks_that_are_refused(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert refused("generate", *arguments, "-o", tmp_path / "out") == message
    assert not (tmp_path / "out").exists()


SCALES = ("--source", "int8", "--out", "int8", "--in-scale", "0.05", "--out-scale", "0.05")


def test_a_block_that_does_not_fit(tmp_path: Path) -> None:
    """Nothing is left of it."""
    found = refused("generate", "activation", "--lanes", "32", *SCALES, "--board", "icebreaker", "-o", tmp_path / "out")
    assert re.fullmatch(r"the circuit does not fit the device: ICESTORM_RAM \d+ of 30", found)
    assert not any(tmp_path.iterdir())


def test_a_block_on_a_board(tmp_path: Path) -> None:
    """The smallest one: a table for int8."""
    out = tmp_path / "out"
    lines = celosia("generate", "activation", "--lanes", "1", *SCALES, "--board", "icebreaker", "-o", out).stdout.splitlines()
    assert lines[0] == str(out / "activation.v")
    assert "ICESTORM_SPRAM: 2 of 4" in lines
    assert re.fullmatch(rf"{re.escape(str(out / 'icebreaker' / 'top.bin'))}: \d+\.\d MHz of 24\.0", lines[-1])
    assert (out / "icebreaker" / "top.bin").stat().st_size > 50_000
    assert BlockManifest.load(out).places.longest_row == 1 << 15
