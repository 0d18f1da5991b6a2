"""What a decoder's products run on: the golden device, or the Verilated controller with its DRAM."""

from collections.abc import Iterable, Mapping

import numpy as np

from ..rtl.arch.dram import Dram
from ..rtl.arch.pim import Macro
from ..sw.golden.pim_device import PimDevice, moved
from ..sw.pim.decoder import PimTarget
from ..sw.pim.mapping import Columns, Image, Macros
from .pim_bench import PimBench


class Golden(PimTarget):
    """The golden device."""

    def __init__(self, dram: Dram) -> None:
        self.dram, self.device = dram, PimDevice(dram)

    def load(self, image: Image) -> None:
        for place, columns in image.items():
            self.device.row(*place)[:] = columns

    def run(self, macros: Macros, columns: Columns) -> Columns:
        return execute_all(self.device, macros, columns)


def execute_all(device: PimDevice, macros: Iterable[tuple[Macro, Mapping[str, int]]], columns: Columns) -> Columns:
    """What the macros answer; all data are used."""
    d, answers = device.dram, [columns[:0]]
    for macro, fields in macros:
        count, _ = moved(d, macro, fields)
        answers.append(device.execute(macro, columns[:count], **{"channels": (1 << d.channels) - 1, **fields}))
        columns = columns[count:]
    assert not len(columns)
    return np.concatenate(answers)


class Verilated(PimTarget):
    """The Verilated controller."""

    def __init__(self, bench: PimBench) -> None:
        self.bench = bench

    def load(self, image: Image) -> None:
        for place, columns in image.items():
            self.bench.set_row(*place, columns)

    def run(self, macros: Macros, columns: Columns) -> Columns:
        for macro, fields in macros:
            self.bench.macro(macro, **fields)
        self.bench.write(columns)
        self.bench.finish()
        return self.bench.read()
