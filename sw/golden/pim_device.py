"""What the PIM controller's macros do to the DRAM behind it, and what they answer."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...rtl.arch.dram import MODE_FORMAT, MODE_FUNCTION, Dram, Function, NumberFormat
from ...rtl.arch.pim import Macro
from .pim import mac, relu

Columns = NDArray[np.uint8]


class PimDevice:
    """The memory of all channels, their global buffers and accumulators, and the mode. Columns are arrays [n, column_bytes]."""

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        self._rows: dict[tuple[int, int, int], Columns] = {}
        self._buffers = np.zeros((dram.channels, dram.buffer_columns, dram.column_bytes), np.uint8)
        self._accumulators = np.zeros((dram.channels, dram.banks), np.int32)
        self._format, self._function = NumberFormat.OFF, Function.NONE

    def row(self, channel: int, bank: int, row: int) -> Columns:
        """Of a bank, [columns, column_bytes]: to read and to write."""
        return self._rows.setdefault((channel, bank, row), np.zeros((self.dram.columns, self.dram.column_bytes), np.uint8))

    @property
    def rows(self) -> Mapping[tuple[int, int, int], Columns]:
        """Those that were written or read, by channel, bank and row."""
        return self._rows

    def execute(self, operation: Macro, columns: ArrayLike = (), *, channels: int, **fields: int) -> Columns:
        """What a macro answers. columns: its data. fields: of `MACRO`."""
        d = self.dram
        data = np.asarray(columns, np.uint8).reshape(-1, d.column_bytes)
        chosen = [channel for channel in range(d.channels) if channels >> channel & 1]
        match operation:
            case Macro.SET_MODE:
                self._format = NumberFormat(fields["mode"] >> MODE_FORMAT & 3)
                self._function = Function(fields["mode"] >> MODE_FUNCTION)
            case Macro.WRITE_BUFFER:
                self._buffers[chosen, fields["buffer"] : fields["buffer"] + fields["count"]] = data
            case Macro.WRITE_ACCUMULATORS:
                self._accumulators[chosen] = data.reshape(len(chosen), -1).view(np.int32)
            case Macro.READ_ACCUMULATORS:
                return np.ascontiguousarray(self._accumulators[chosen]).view(np.uint8).reshape(-1, d.column_bytes)
            case Macro.ACTIVATE if self._function is Function.RELU:
                self._accumulators[chosen] = relu(self._accumulators[chosen].view(self._sum_type)).view(np.int32)
            case Macro.ACTIVATE:
                pass
            case Macro.READ:
                return np.array([self._column(channel, *place) for channel in chosen for place in self._walk(fields)])
            case Macro.SCATTER:
                for channel, column in zip(chosen, data, strict=True):
                    for bank in range(d.banks):
                        self._column(channel, bank, fields["row"], fields["column"])[fields["buffer"]] = column[bank]
            case Macro.WRITE | Macro.COPY_TO_BUFFER | Macro.COPY_FROM_BUFFER:
                for channel in chosen:
                    self._move(operation, channel, data, fields)
            case Macro.MAC_ALL | Macro.MAC_BANK:
                banks = range(d.banks) if operation is Macro.MAC_ALL else [fields["bank"]]
                for channel in chosen:
                    self._multiply(channel, [*banks], fields)
        return np.zeros((0, d.column_bytes), np.uint8)

    def _column(self, channel: int, bank: int, row: int, column: int) -> Columns:
        return self.row(channel, bank, row)[column]

    def _walk(self, fields: Mapping[str, int]) -> Iterator[tuple[int, int, int]]:
        """Bank, row and column of each column of a macro."""
        for place in range(fields["count"]):
            row, column = divmod(fields["row"] * self.dram.columns + fields["column"] + place, self.dram.columns)
            yield fields.get("bank", 0), row, column

    def _move(self, operation: Macro, channel: int, data: Columns, fields: Mapping[str, int]) -> None:
        for i, place in enumerate(self._walk(fields)):
            column, buffer = self._column(channel, *place), self._buffers[channel]
            if operation is Macro.COPY_TO_BUFFER:
                buffer[fields["buffer"] + i] = column
            else:
                column[:] = data[i] if operation is Macro.WRITE else buffer[fields["buffer"] + i]

    def _multiply(self, channel: int, banks: list[int], fields: Mapping[str, int]) -> None:
        element = np.int8 if self._format is NumberFormat.INT8 else np.uint16
        sums = self._accumulators[channel, banks].view(self._sum_type)
        for i, (_, row, column) in enumerate(self._walk(fields)):
            weights = np.array([self._column(channel, bank, row, column) for bank in banks]).view(element)
            sums = mac(sums, weights, self._buffers[channel, fields["buffer"] + i].view(element))
        self._accumulators[channel, banks] = sums.view(np.int32)

    @property
    def _sum_type(self) -> type[np.int32] | type[np.float32]:
        return np.int32 if self._format is NumberFormat.INT8 else np.float32


def moved(dram: Dram, macro: Macro, fields: Mapping[str, int]) -> tuple[int, int]:
    """Columns of data that a macro takes, and gives. fields: of `MACRO`; all channels, unless it names some."""
    channels = fields.get("channels", (1 << dram.channels) - 1).bit_count()
    match macro:
        case Macro.WRITE_BUFFER | Macro.WRITE:
            return fields["count"], 0
        case Macro.WRITE_ACCUMULATORS:
            return channels * dram.accumulator_columns, 0
        case Macro.SCATTER:
            return channels, 0
        case Macro.READ_ACCUMULATORS:
            return 0, channels * dram.accumulator_columns
        case Macro.READ:
            return 0, channels * fields["count"]
        case _:
            return 0, 0
