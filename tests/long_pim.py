"""The PIM controller under random traffic for more than ten million cycles, refreshes on, and writing a text: `nox -s sim_long`."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from celosia.rtl.arch.dram import PRESETS
from celosia.sw.executor import execute
from celosia.sw.frontend.importer import import_model
from celosia.sw.pim.decoder import Decoder
from celosia.tb.pim_bench import PimBench
from celosia.tb.pim_targets import Verilated
from celosia.tb.pim_traffic import drive

from examples.gpt.quantize import QDQ_MODEL
from examples.gpt.text import decode, encode

CYCLES = 4_000_000  # of each preset


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_lost_and_no_rule_is_broken(preset: str) -> None:
    with PimBench(replace(PRESETS[preset], channels=2)) as bench:
        found = drive(bench, 1, CYCLES)
    print(f"{preset}: {found}")
    assert found.refreshes >= 2 * (found.cycles // PRESETS[preset].timing.refi - 8)


def test_a_text_of_as_many_tokens_as_there_is_room_for() -> None:
    """What the language model writes with its products in the DRAM, token for token what the executor has for the whole sequence."""
    graph, dram = import_model(QDQ_MODEL), replace(PRESETS["aim"], channels=2)
    (port,) = graph.inputs
    tokens = np.zeros((1, port.tensor.cols), np.int64)
    prompt = encode("In the beginning")
    with PimBench(dram) as bench:
        decoder = Decoder(graph, dram, Verilated(bench), lanes=8)
        written: list[Mapping[str, np.ndarray]] = []
        for row in range(decoder.room):
            tokens[0, row] = prompt[row] if row < len(prompt) else written[-1]["next"][0]
            written.append(decoder.step(int(tokens[0, row])))
        print(f"{decode(tokens[0].tolist())!r}: {bench.cycles:,} cycles")
    expected = execute(graph, {port.name: tokens}, lanes=8)
    for output in graph.outputs:
        assert (np.array([row[output.name] for row in written]) == expected[output.tensor.name]).all()
