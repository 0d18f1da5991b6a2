"""Evaluate a piecewise-linear table (see rtl/arch/tables.py for the formula)."""

import numpy as np
from numpy.typing import ArrayLike

from ...rtl.arch.tables import LinearTable
from .requantize import Int


def interpolate(table: LinearTable, u: ArrayLike) -> Int:
    """The table at ``u``: unsigned integers of ``table.input_bits`` bits, any shape."""
    u = np.asarray(u, np.int64)
    index, fraction = u >> table.fraction_bits, u & ((1 << table.fraction_bits) - 1)
    base, slope = np.array(table.base, np.int64)[index], np.array(table.slope, np.int64)[index]
    return base + ((slope * fraction + (1 << (table.fraction_bits - 1))) >> table.fraction_bits)
