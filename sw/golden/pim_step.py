"""A step of the machine's PIM engine: a macro with its data, or a product, as macros; and on the golden device."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.dram import Dram
from ...rtl.arch.pim import MACRO, Macro
from ...rtl.arch.steps import OF_PIM, PRODUCT
from .pim_device import Columns, PimDevice, moved
from .requantize import Int

MacroWithData = tuple[Macro, Mapping[str, int], Columns]  # a macro, its fields and its data


def pim_step(device: PimDevice, c: Mapping[str, int], data: NDArray[np.uint8]) -> Int:
    """The sums of a product, [n]; of a macro none. c: fields of `PIM`. data: bytes from the word ``a`` on, ``length`` of them.

    Raises ValueError where the engine refuses the step.
    """
    if c["operation"] not in OF_PIM | {PRODUCT}:
        raise ValueError(f"operation must be a macro that doesn't answer, or PRODUCT, not {c['operation']}")
    answers = [device.execute(macro, columns, **fields) for macro, fields, columns in macros_of(device.dram, c, data)]
    sums = np.concatenate(answers).reshape(-1).view(np.int32)
    if c["operation"] == PRODUCT and not 0 < c["n"] <= len(sums):
        raise ValueError(f"a product must have 1 to {len(sums)} results, not {c['n']}")
    return sums[: c["n"]].astype(np.int64)


def macros_of(dram: Dram, c: Mapping[str, int], data: NDArray[np.uint8]) -> Iterator[MacroWithData]:
    """What a step gives to the controller. c: fields of `PIM`, those that are 0 perhaps left out."""
    if c["operation"] == PRODUCT:
        yield from _product(dram, c, data)
    else:
        macro, fields = Macro(c["operation"]), {field.name: c.get(field.name, 0) for field in MACRO.fields if field.name != "operation"}
        yield macro, fields, _columns(dram, macro, fields, data)


def _columns(dram: Dram, macro: Macro, fields: Mapping[str, int], data: NDArray[np.uint8]) -> Columns:
    """The columns that a macro takes: the data, and zeros behind them."""
    count, _ = moved(dram, macro, fields)
    used = dram.banks if macro is Macro.SCATTER else dram.column_bytes  # bytes of a column
    whole = np.zeros(count * used, np.uint8)
    whole[: len(data)] = data[: len(whole)]
    return np.pad(whole.reshape(count, used), ((0, 0), (0, dram.column_bytes - used)))


def _product(dram: Dram, c: Mapping[str, int], data: NDArray[np.uint8]) -> Iterator[MacroWithData]:
    none = np.zeros((0, dram.column_bytes), np.uint8)
    of = {"channels": c["channels"]}
    size = moved(dram, Macro.WRITE_ACCUMULATORS, of)[0] * dram.column_bytes
    for group in range(c["groups"]):
        starts = data[group * size : (group + 1) * size] if c.get("starts") else data[:0]
        yield Macro.WRITE_ACCUMULATORS, of, _columns(dram, Macro.WRITE_ACCUMULATORS, of, starts)
        row, column = divmod(c["row"] * dram.columns + c["column"] + group * c["group_columns"], dram.columns)
        place = {**of, "row": row, "column": column, "count": c["count"]}
        for buffer in (c.get("buffer", 0), *[c.get("again_buffer", 0)] * c.get("again", 0)):
            yield Macro.MAC_ALL, {**place, "buffer": buffer}, none
        yield Macro.READ_ACCUMULATORS, of, none
