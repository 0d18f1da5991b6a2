"""What lies in memory for a network: its tensors, and the tables that its operators need."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import CHANNEL
from .. import graph as ir
from ..golden.matmul import MatMulParameters
from ..golden.requantize import Int
from ..pim.operator import Pim
from .groups import grouped_weights, in_groups
from .kernels import kernels
from .layout import Buffer, Layout
from .segments import channel_segments


def channels_name(op: ir.MatMul, first: int, count: int) -> str:
    return f"{op.name}.channels[{first}:{first + count}]"


def factors_name(op: ir.MatMul, first: int, count: int) -> str:
    return f"{op.name}.factors[{first}:{first + count}]"


def table_name(op: ir.MatMul | ir.LayerNorm | ir.Table) -> str:
    return f"{op.name}.table"


def records_name(op: Pim) -> str:
    return f"{op.name}.records"


def operator_name(table: str) -> str:
    """The other way: of the operator that a buffer of channels, of factors or of a table belongs to."""
    return table.rpartition(".")[0]


def make_buffers(graph: ir.Graph, layouts: Mapping[str, Layout], parameters: MachineParameters) -> dict[str, Buffer]:
    """A buffer for each tensor, and for each table that an operator needs."""
    buffers = {name: layout.buffer() for name, layout in layouts.items()}
    for op in graph.operators:
        if isinstance(op, ir.MatMul):
            if in_groups(op):
                weights = grouped_weights(layouts, op, parameters)
                buffers[weights.name] = weights
            for part in op.parts:
                for first, count in channel_segments(layouts, op, part, parameters):
                    for buffer in (_channels(op, first, count, parameters), *_factors(op, first, count, parameters)):
                        buffers[buffer.name] = buffer
            if op.table:
                buffers[table_name(op)] = _table(op, [op.table.entries], parameters, np.int8)
        elif isinstance(op, ir.Deform) and parameters.deform_kernel == op.deformation.kernel:
            buffers[op.b.tensor.name] = kernels(layouts, op, parameters)
        elif isinstance(op, Pim) and op.parameters:
            buffers[records_name(op)] = _records(op, op.parameters, parameters)
        elif isinstance(op, ir.LayerNorm):
            buffers[table_name(op)] = _table(op, [op.parameters.gamma, op.parameters.beta], parameters, np.int16)
        elif isinstance(op, ir.Table):
            buffers[table_name(op)] = _table(op, [op.parameters.entries], parameters, np.int16)
    return buffers


def _table(
    op: ir.MatMul | ir.LayerNorm | ir.Table, rows: Sequence[ArrayLike], parameters: MachineParameters, dtype: type[np.signedinteger]
) -> Buffer:
    """Rows of numbers, which the operator takes beside its inputs."""
    data = [np.asarray(row, dtype).tobytes() for row in rows]
    words = -(-len(data[0]) // parameters.word_bytes)
    padded = b"".join(row.ljust(words * parameters.word_bytes, b"\0") for row in data)
    return Buffer(name=table_name(op), rows=len(data), row_words=words, data=padded)


def _channels(op: ir.MatMul, first: int, count: int, parameters: MachineParameters) -> Buffer:
    """The requantization records of channels first to first + count - 1, tile by tile of cols channels; of channels that are all alike one
    tile. With shift, of those channels of each block, one after the other."""
    p, channels = parameters, op.channels
    of_blocks = _channels_of(op.parameters).reshape(-1, channels, 3)[:, first : first + count]
    if (of_blocks == of_blocks[0, 0]).all():
        of_blocks = np.tile(of_blocks[:1, :1], (1, p.cols, 1))
    tiles = list[bytes]()
    for block in of_blocks.tolist():
        records = [_record(channel) for channel in block]
        tiles += (b"".join(records[i : i + p.cols]).ljust(p.channel_words * p.word_bytes, b"\0") for i in range(0, len(records), p.cols))
    return Buffer(name=channels_name(op, first, count), rows=len(tiles), row_words=p.channel_words, data=b"".join(tiles))


def _channels_of(q: MatMulParameters) -> Int:
    """Bias, multiplier and shift of each, [channels, 3]."""
    return np.stack([q.bias, q.multiplier, q.shift], axis=1)


def _record(channel: Sequence[int]) -> bytes:
    return CHANNEL.pack(dict(zip(("bias", "multiplier", "shift"), channel, strict=True))).to_bytes(8, "little")


def _records(op: Pim, q: MatMulParameters, parameters: MachineParameters) -> Buffer:
    """The requantization records of a PIM operator's products, side by side; of channels that are all alike one word of them."""
    word = parameters.word_bytes
    channels = np.tile(_channels_of(q)[:1], (word // 8, 1)) if op.shared else _channels_of(q)
    data = b"".join(map(_record, channels.tolist()))
    words = -(-len(data) // word)
    return Buffer(name=records_name(op), rows=1, row_words=words, data=data.ljust(words * word, b"\0"))


def _factors(op: ir.MatMul, first: int, count: int, parameters: MachineParameters) -> Iterator[Buffer]:
    """The factors of channels first to first + count - 1, tile by tile of cols channels, group by group; if there are any. With shift, of
    those channels of each block, one after the other."""
    if op.parameters.factors is not None:
        p, channels = parameters, op.channels
        factors = op.parameters.factors.reshape(op.groups, -1, channels)[:, :, first : first + count]
        factors = np.pad(factors, ((0, 0), (0, 0), (0, -count % p.cols))).reshape(op.groups, -1, p.cols)
        octets = np.zeros((factors.shape[1], op.groups, p.factor_words * p.word_bytes), np.uint8)
        octets[:, :, : p.cols] = factors.swapaxes(0, 1)
        yield Buffer(name=factors_name(op, first, count), rows=len(octets), row_words=op.groups * p.factor_words, data=octets.tobytes())
