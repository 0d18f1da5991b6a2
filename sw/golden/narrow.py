"""Elements of fewer than 8 bits in bytes, the first one in the lowest bits."""

import numpy as np
from numpy.typing import ArrayLike

from .requantize import Int


def to_narrow(values: ArrayLike, bits: int) -> Int:
    """Bytes (0..255) of signed elements of ``bits`` bits (8, 4 or 2) along the last axis, which must fill whole bytes."""
    per_byte = 8 // bits
    values = np.asarray(values, np.int64)
    fields = values.reshape(*values.shape[:-1], -1, per_byte) & ((1 << bits) - 1)
    return (fields << bits * np.arange(per_byte)).sum(axis=-1)


def from_narrow(octets: ArrayLike, bits: int) -> Int:
    """The signed elements in bytes, along the last axis."""
    octets = np.asarray(octets, np.int64)
    fields = octets[..., None] >> bits * np.arange(8 // bits) & ((1 << bits) - 1)
    signed = fields - ((fields >> (bits - 1)) << bits)
    return signed.reshape(*octets.shape[:-1], -1)
