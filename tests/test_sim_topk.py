"""The top-k engine, in all its kinds."""

import pytest
from celosia.rtl.arch.formats import INT8, INT16, INT32, UINT16, UINT32
from celosia.rtl.arch.topk import Result, TopKCircuit
from celosia.rtl.topk import TopK
from celosia.tb.paths import stream_path_faults
from celosia.tb.runner import run_bench

CIRCUITS = [
    TopKCircuit(lanes=1, row_elements=128, source=INT8),
    TopKCircuit(lanes=4, row_elements=128, source=UINT16, result=Result.PAIRS),
    TopKCircuit(lanes=16, row_elements=128, source=INT32, result=Result.MASK),
    TopKCircuit(lanes=16, row_elements=256, source=UINT32),
    TopKCircuit(lanes=2, row_elements=16, source=INT16),
    TopKCircuit(lanes=64, row_elements=256, source=INT16),
]
of_each_kind = pytest.mark.parametrize("circuit", CIRCUITS, ids=lambda c: f"{c.lanes}-{c.source}-{c.result.value}")


def run(circuit: TopKCircuit, *, longest: int) -> None:
    """longest: of the rows that are tried in every length, with every k."""
    run_bench(TopK(circuit), "celosia.tb.test_topk", {"circuit": circuit.as_dict(), "longest": min(longest, circuit.row_elements)})


@of_each_kind
def test_topk(circuit: TopKCircuit) -> None:
    assert stream_path_faults(TopK(circuit)) == []
    run(circuit, longest=20)
