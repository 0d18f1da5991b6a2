"""The top-k engine with every k on rows of every length up to several beats: `nox -s sim_long`."""

from celosia.rtl.arch.topk import TopKCircuit
from test_sim_topk import of_each_kind, run


@of_each_kind
def test_every_length_and_k(circuit: TopKCircuit) -> None:
    run(circuit, longest=70)
