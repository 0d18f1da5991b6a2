"""Kernels of deformable convolutions as their engine takes them."""

from collections.abc import Mapping

import numpy as np

from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import CHANNEL
from .. import graph as ir
from ..golden.narrow import to_narrow
from .layout import Buffer, Layout
from .segments import segments


def channel_words(layouts: Mapping[str, Layout], op: ir.Deform, parameters: MachineParameters) -> list[range]:
    """The channels of each word."""
    word, runs = parameters.word_bytes, segments(layouts, [op.a, *op.outputs])
    return [range(start, min(start + word, first + count)) for first, count in runs for start in range(first, first + count, word)]


def kernels(layouts: Mapping[str, Layout], op: ir.Deform, parameters: MachineParameters) -> Buffer:
    """Weights and requantization of each word of channels, as DEFORM says; of a word's channels that there are not they are zero."""
    p, q, taps = parameters, op.parameters, op.deformation.taps
    data, weights = bytearray(), op.b.tensor.data
    assert weights is not None
    words = channel_words(layouts, op, p)
    for channels in words:
        of_taps = np.zeros((taps, p.word_bytes), np.int64)
        of_taps[:, : len(channels)] = weights[op.b.row + channels.start : op.b.row + channels.stop].T
        elements = p.deform_weight_words * p.word_bytes * 8 // p.weight_bits
        flat = np.pad(of_taps.reshape(-1), (0, elements - of_taps.size))
        data += to_narrow(flat, p.weight_bits).astype(np.uint8).tobytes()
        records = ({"bias": q.bias[c], "multiplier": q.multiplier[c], "shift": q.shift[c]} for c in channels)
        packed = (CHANNEL.pack({name: int(value) for name, value in record.items()}).to_bytes(8, "little") for record in records)
        data += b"".join(packed).ljust(8 * p.word_bytes, b"\0")
    return Buffer(name=op.b.tensor.name, rows=len(words), row_words=p.deform_group_words, data=bytes(data))
