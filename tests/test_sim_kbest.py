"""The k best of a stream, for one lane and many, few and many that are kept."""

import pytest
from celosia.rtl.arch.formats import INT8, INT16, INT32, UINT8, UINT16
from celosia.rtl.arch.kbest import KBestCircuit
from celosia.rtl.kbest import KBest
from celosia.tb.paths import stream_path_faults
from celosia.tb.runner import run_bench

CIRCUITS = [
    KBestCircuit(lanes=1, k=1, source=INT8, index_bits=8),
    KBestCircuit(lanes=8, k=1, source=INT16),
    KBestCircuit(lanes=8, k=2, source=UINT8, index_bits=8),
    KBestCircuit(lanes=1, k=7, source=INT32),
    KBestCircuit(lanes=4, k=16, source=UINT16, index_bits=16),
    KBestCircuit(lanes=32, k=3, source=INT8),
    KBestCircuit(lanes=2, k=64, source=INT8, index_bits=16),
]


@pytest.mark.parametrize("circuit", CIRCUITS, ids=lambda c: f"{c.lanes}-{c.k}-{c.source}")
def test_kbest(circuit: KBestCircuit) -> None:
    component = KBest(circuit)
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_kbest", {"circuit": circuit.as_dict()})
