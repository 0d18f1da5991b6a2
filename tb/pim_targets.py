"""What a decoder's products run on: the golden device, or the Verilated controller with its DRAM."""

from collections.abc import Mapping

import numpy as np

from ..rtl.arch.dram import Dram
from ..rtl.arch.pim import Macro
from ..sw.golden.pim_device import PimDevice
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
        d, answers = self.dram, [np.zeros((0, self.dram.column_bytes), np.uint8)]
        for macro, fields in macros:
            values = {"channels": (1 << d.channels) - 1, **fields}
            count = data_of(d, macro, values)
            answers.append(self.device.execute(macro, columns[:count], **values))
            columns = columns[count:]
        assert not len(columns)
        return np.concatenate(answers)


def data_of(dram: Dram, macro: Macro, fields: Mapping[str, int]) -> int:
    """Columns that a macro takes."""
    channels = fields["channels"].bit_count()
    match macro:
        case Macro.WRITE_BUFFER | Macro.WRITE:
            return fields["count"]
        case Macro.WRITE_ACCUMULATORS:
            return channels * dram.accumulator_columns
        case Macro.SCATTER:
            return channels
        case _:
            return 0


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
