"""The language model of examples/gpt, a token at a time, its products and its cache in DRAM that computes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from celosia.rtl.arch.dram import PRESETS
from celosia.sw import graph as ir
from celosia.sw.executor import execute
from celosia.sw.frontend.importer import import_model
from celosia.sw.pim.decoder import Decoder
from celosia.sw.pim.mapping import MappingError
from celosia.tb.pim_bench import PimBench
from celosia.tb.pim_targets import Golden, Verilated

from examples.gpt.quantize import QDQ_MODEL
from examples.gpt.text import encode

LANES = 8
TEXT = "In the beginning God"
AIM = replace(PRESETS["aim"], channels=2)


@pytest.fixture(scope="module")
def graph() -> ir.Graph:
    return import_model(QDQ_MODEL)


@pytest.fixture(scope="module")
def expected(graph: ir.Graph) -> Mapping[str, np.ndarray]:
    tokens = np.zeros((1, graph.inputs[0].tensor.cols), np.int64)
    text = encode(TEXT)
    tokens[0, : len(text)] = text
    values = execute(graph, {graph.inputs[0].name: tokens}, lanes=LANES)
    return {port.name: values[port.tensor.name] for port in graph.outputs}


@pytest.mark.parametrize("kind", ["golden", "verilated"])
def test_every_token_is_what_the_executor_has_for_the_sequence(kind: str, graph: ir.Graph, expected: Mapping[str, np.ndarray]) -> None:
    with PimBench(AIM) as bench:
        target = Golden(AIM) if kind == "golden" else Verilated(bench)
        decoder = Decoder(graph, AIM, target, lanes=LANES)
        for row, token in enumerate(encode(TEXT)):
            found = decoder.step(int(token))
            assert all((found[name] == values[row]).all() for name, values in expected.items()), row


def test_a_cache_that_is_full_takes_no_token(graph: ir.Graph) -> None:
    decoder = Decoder(graph, AIM, Golden(AIM), lanes=LANES)
    decoder.length = decoder.room
    with pytest.raises(MappingError, match=r"^the cache is full: it has room for 128 tokens, and none for token 128$"):
        decoder.step(0)


def test_a_device_that_is_too_small(graph: ir.Graph) -> None:
    small = replace(AIM, rows=4)
    with pytest.raises(MappingError, match="the device has 4"):
        Decoder(graph, small, Golden(small), lanes=LANES)
