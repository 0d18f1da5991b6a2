"""The top-k engine, in all its kinds."""

import pytest
from celosia.rtl.arch.formats import INT8, INT16, INT32, UINT16, UINT32
from celosia.rtl.arch.topk import Result, TopKCircuit
from celosia.rtl.topk import TopK
from celosia.tb.paths import stream_path_faults
from celosia.tb.runner import run_bench

LONGEST = 70  # of the rows that are tried with every k
CIRCUITS = [
    (TopKCircuit(lanes=1, row_elements=128, source=INT8), LONGEST),
    (TopKCircuit(lanes=4, row_elements=128, source=UINT16, result=Result.PAIRS), LONGEST),
    (TopKCircuit(lanes=16, row_elements=128, source=INT32, result=Result.MASK), LONGEST),
    (TopKCircuit(lanes=16, row_elements=1024, source=UINT32), LONGEST),
    (TopKCircuit(lanes=2, row_elements=16, source=INT16), 16),
    (TopKCircuit(lanes=64, row_elements=512, source=INT16), 8),
]


@pytest.mark.parametrize(("circuit", "longest"), CIRCUITS, ids=[f"{c.lanes}-{c.source}-{c.result.value}" for c, _ in CIRCUITS])
def test_topk(circuit: TopKCircuit, longest: int) -> None:
    component = TopK(circuit)
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_topk", {"circuit": circuit.as_dict(), "longest": longest})
