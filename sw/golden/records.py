"""The requantization records of a step, as they lie in the scratchpad."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.steps import CHANNEL
from .matmul import MatMulParameters


def requantization(c: Mapping[str, int], records: NDArray[np.uint8], *, a_zero_point: int = 0, b_zero_point: int = 0) -> MatMulParameters:
    """Of a command's results. c: its fields. records: of CHANNEL, [n, 8]."""
    channels = [CHANNEL.unpack(int.from_bytes(record.tobytes(), "little")) for record in records]
    bias, multiplier, shift = (np.array([channel[name] for channel in channels], np.int64) for name in ("bias", "multiplier", "shift"))
    return MatMulParameters(
        a_zero_point=a_zero_point,
        b_zero_point=b_zero_point,
        bias=bias,
        multiplier=multiplier,
        shift=shift,
        out_zero_point=c["out_zero_point"],
        low=c["low"],
        high=c["high"],
    )
