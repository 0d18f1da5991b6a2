"""The PIM controller under random traffic for more than ten million cycles, refreshes on, and writing a text: `nox -s sim_long`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from celosia.gen.project import build_simulator, write_project
from celosia.rtl.arch.dram import PRESETS
from celosia.rtl.arch.targets import DEFAULT_TARGET, TARGETS
from celosia.sw import compile_model, open_device
from celosia.sw.driver.decoder import Decoder
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.tb.pim_bench import PimBench
from celosia.tb.pim_traffic import drive

from examples.gpt.quantize import QDQ_MODEL
from examples.gpt.text import decode, encode

CYCLES = 4_000_000  # of each preset
MACHINE = replace(TARGETS[DEFAULT_TARGET], pruning=1, pim="aim", pim_channels=2)


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_lost_and_no_rule_is_broken(preset: str) -> None:
    with PimBench(replace(PRESETS[preset], channels=2)) as bench:
        found = drive(bench, 1, CYCLES)
    print(f"{preset}: {found}")
    assert found.refreshes >= 2 * (found.cycles // PRESETS[preset].timing.refi - 8)


def test_a_text_of_as_many_tokens_as_there_is_room_for(tmp_path: Path) -> None:
    """What the language model writes on a machine, token for token what the executor has for the whole sequence."""
    write_project(compile_model(QDQ_MODEL, MACHINE), tmp_path / "out")
    build_simulator(tmp_path / "out")
    graph = import_model(QDQ_MODEL)
    (port,) = graph.inputs
    tokens = np.zeros((1, port.tensor.cols), np.int64)
    prompt = encode("In the beginning")
    with Decoder(open_device(tmp_path / "out")) as decoder:
        written: list[Mapping[str, np.ndarray]] = []
        for row in range(decoder.room):
            tokens[0, row] = prompt[row] if row < len(prompt) else written[-1]["next"].item()
            written.append(decoder.step(int(tokens[0, row])))
        print(f"{decode(tokens[0].tolist())!r}: {decoder.network.device.cycles:,} cycles")
    expected = execute(graph, {port.name: tokens}, lanes=MACHINE.lanes)
    for output in graph.outputs:
        found = np.concatenate([row[output.name] for row in written], axis=1)
        assert (found == dequantize_output(output, expected[output.tensor.name])).all()
