"""The top-k engine with every k on rows of every length up to several beats, and on long rows: `nox -s sim_long`."""

import pytest
from celosia.rtl.arch.formats import INT8, INT16, UINT16
from celosia.rtl.arch.topk import Result, TopKCircuit
from test_sim_topk import of_each_kind, run

LONG = [
    TopKCircuit(lanes=16, row_elements=1024, source=INT16),
    TopKCircuit(lanes=64, row_elements=1024, source=UINT16, result=Result.PAIRS),
    TopKCircuit(lanes=64, row_elements=65536, source=INT8, result=Result.MASK),
]


@of_each_kind
def test_every_length_and_k(circuit: TopKCircuit) -> None:
    run(circuit, longest=70)


@pytest.mark.parametrize("circuit", LONG, ids=lambda c: f"{c.lanes}-{c.row_elements}")
def test_long_rows(circuit: TopKCircuit) -> None:
    run(circuit, longest=2)
