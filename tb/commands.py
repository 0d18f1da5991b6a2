"""Random commands for the engines, with the scratchpad that they work on."""

import random
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.activation import TABLE_ENTRIES
from ..rtl.arch.blocks import ADD
from ..rtl.arch.checks import ParameterError
from ..rtl.arch.dram import MODE_FORMAT, Dram, NumberFormat
from ..rtl.arch.formats import INT8, INT16, INT32, MAX_FACTOR, Format
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.pim import Macro
from ..rtl.arch.steps import CHANNEL, OF_PIM, PRODUCT, RESIDUAL_SCALARS, VECTOR, Engine, VectorOperation, place_bits, vector_operations
from ..rtl.arch.window import Window, matrix_walk
from .deform_commands import deform
from .engine_bench import MEMORY_BYTES
from .regions import Regions, noise

GATHERED = 12  # rows of a matrix of which some are gathered
Case = tuple[list[dict[str, int]], NDArray[np.uint8]]  # commands for one engine, and the scratchpad [words, word_bytes] before them


def _limits(rng: random.Random, *, wide: bool) -> dict[str, int]:
    limits = INT16 if wide else INT8
    low, high = sorted(rng.choice((limits.min, limits.max, rng.randint(limits.min, limits.max))) for _ in range(2))
    return {"out_zero_point": rng.randint(limits.min, limits.max), "low": low, "high": high}


def _out_range(rng: random.Random, *, wide: bool) -> dict[str, int]:
    return {**_limits(rng, wide=wide), "out_wide": int(wide)}


def compute(rng: random.Random, p: MachineParameters) -> Case:
    """Matrix products that do not depend on each other."""
    regions, scratchpad = Regions(rng), noise(rng, p)
    commands: list[dict[str, int]] = []
    while not commands or (rng.random() < 0.7 and 2 * regions.end < p.scratchpad_words):
        end = regions.end
        following = _product(rng, p, regions, scratchpad)
        if regions.end <= p.scratchpad_words:
            commands.append(following)
        else:
            regions.end = end
    return commands, scratchpad


def _product(rng: random.Random, p: MachineParameters, regions: Regions, scratchpad: NDArray[np.uint8]) -> dict[str, int]:
    """Of a matrix or of windows: sizes from 1 to a few tiles, often small. Puts channels and factors into the scratchpad."""
    size = lambda most: rng.choice((1, 2, rng.randint(1, most)))  # noqa: E731
    packed = rng.randint(0, p.packing)
    n, k = p.cols if packed else size(3 * p.cols), rng.choice((p.rows // 2, size(3 * p.rows)))
    words = lambda octets: -(-octets // p.word_bytes)  # noqa: E731
    transposed = rng.random() < 0.7 or p.least_narrow > 0
    narrow, weights = rng.randint(p.least_narrow, 2) if transposed else 0, Format(p.weight_bits)
    tiles = -(-n // p.cols)
    if rng.random() < 0.5:
        m, taps = rng.choice((1, 2, 3, rng.randint(1, 20))), rng.choice((1, rng.randint(2, 9))) if p.reads_any_byte else 1
        a, a_stride = regions.matrix(m, words(taps * k))
        walk = matrix_walk(a, a_stride, m, k, p.word_bytes, taps=taps)
    else:
        walk = _windows(rng, p, n, k, regions)
        k = walk["k"]
    changes = _changes(rng, p, walk["lines"]) if packed else {"repeated": int(rng.random() < 0.2)}
    changes = {name: 1 for name, value in changes.items() if value}
    wide = rng.random() < 0.5 and not changes
    lines = walk["lines"] // (1 + changes.get("pooled", 0))
    outputs, results = (lines, walk["m"] * n // (1 + changes.get("pooled", 0))) if packed else (walk["m"] * walk["lines"], n)
    copies = 1 + changes.get("repeated", 0)
    taps = walk["taps_x"] * walk["taps_y"]
    b_k = (taps - 1) * words(k) * p.word_bytes + k
    b_words = taps * -(-k // (p.word_bytes << narrow))
    b, b_stride = regions.matrix(n, b_words) if transposed else regions.matrix(b_k, words(n))
    channels, channels_stride = regions.matrix(tiles, p.channel_words)
    table, _ = regions.matrix(1, words(TABLE_ENTRIES))
    factor_words = tiles * taps * p.factor_words
    factors, _ = regions.matrix(1, factor_words)
    rows, width = (copies * outputs, copies * results) if packed else (copies**2 * outputs, results)
    out, out_stride = regions.matrix(rows, words(width << wide))
    reach = (taps * k << 14).bit_length()  # of a sum, in bits
    shift = lambda: rng.choice((rng.randint(0, 47), rng.randint(reach, reach + 8)))  # noqa: E731 - so that often its own bits show
    most = min(MAX_FACTOR, (INT32.max >> 1) // (taps * k << 16))  # no sum overflows
    scratchpad[factors : factors + factor_words] //= -(-(MAX_FACTOR + 1) // (most + 1))
    for tile in range(tiles):
        records = [
            CHANNEL.pack({"bias": rng.randint(-(1 << 20), 1 << 20), "multiplier": rng.getrandbits(16), "shift": shift()})
            for _ in range(p.cols)
        ]
        octets = b"".join(record.to_bytes(8, "little") for record in records).ljust(p.channel_words * p.word_bytes, b"\0")
        at = channels + tile * channels_stride
        if at + p.channel_words > p.scratchpad_words:
            break
        scratchpad[at : at + p.channel_words] = np.frombuffer(octets, np.uint8).reshape(p.channel_words, -1)
    return {
        **walk,
        **{"b": b, "b_stride": b_stride, "channels": channels, "channels_stride": channels_stride},
        **{
            "out": out,
            "out_stride": out_stride,
            "out_line": 2 * walk["m"] * out_stride,
            "packed": packed,
            **changes,
            "n": n,
            "b_transposed": int(transposed),
            "b_narrow": narrow,
        },
        **{"table": table, "tabulated": rng.randint(0, 1), "factors": factors, "b_factored": rng.randint(0, p.factor_bits > 0)},
        **{"a_zero_point": rng.randint(-128, 127), "b_zero_point": rng.randint(weights.min, weights.max)},
        **_out_range(rng, wide=wide),
        **(_residual(rng, p, regions, outputs, results, wide=wide) if p.residual and not changes else {}),
    }


def _changes(rng: random.Random, p: MachineParameters, lines: int) -> dict[str, int]:
    """Perhaps what is done to packed results."""
    return {rng.choice(("repeated", *["pooled"] * (p.pools and lines % 2 == 0))): 1} if rng.random() < 0.7 else {}


def _residual(rng: random.Random, p: MachineParameters, regions: Regions, rows: int, n: int, *, wide: bool) -> dict[str, int]:
    """The fields of a matrix that is perhaps added to results [rows, n], whose own limits may then be of either width."""
    residual, r_wide = rng.randint(0, 1), rng.random() < 0.5
    r, r_stride = regions.matrix(rows, -(-(n << r_wide) // p.word_bytes))
    sums = {field.name: rng.randint(field.min, field.max) for field in ADD.fields}
    sums |= {f"{name}_left": rng.choice((0, rng.randint(0, 15))) for name in "ab"}
    sums |= {"shift": rng.choice((rng.randint(0, 47), rng.randint(12, 30))), **_limits(rng, wide=wide)}
    return {
        **{"residual": residual, "r": r, "r_stride": r_stride, "r_wide": int(r_wide)},
        **{field: sums[name] for field, name in RESIDUAL_SCALARS.items()},
        **(_limits(rng, wide=rng.random() < 0.5) if residual else {}),
    }


def _windows(rng: random.Random, p: MachineParameters, n: int, k: int, regions: Regions) -> dict[str, int]:
    """The fields of a small convolution's windows, at most 20: of pixels of k bytes in words, of pixels without gaps, or depthwise."""
    kinds = ["words", *["bytes"] * p.reads_any_byte, *["depthwise"] * p.depthwise]
    kind = rng.choice(kinds)
    width, height = rng.randint(1, 6), rng.randint(1, 6)
    pair = lambda most: (rng.randint(1, most), rng.randint(1, most))  # noqa: E731
    while True:
        kernel, strides, dilations, (above, left), (below, right) = pair(6), pair(3), pair(2), pair(3), pair(3)
        pads = above - 1, left - 1, below - 1, right - 1
        with suppress(ParameterError):
            window = Window(height=height, width=width, kernel=kernel, strides=strides, dilations=dilations, pads=pads)
            if window.lines * window.columns <= 20 and (kind != "bytes" or window.contiguous):
                break
    counts = {"m": window.columns, "lines": window.lines}
    if kind == "bytes":
        pixel = rng.choice((1, 2, 3, rng.randint(1, 2 * p.rows)))
        a, line_words = regions.matrix(height, -(-width * pixel // p.word_bytes))
        return {**window.walk(a, line_words, pixel), **window.run, **counts, "k": window.kernel[1] * pixel}
    a, stride = regions.matrix(width * height, -(-(n if kind == "depthwise" else k) // p.word_bytes))
    pixel = stride << place_bits(p.rows)
    fields = {**window.walk(a, width * stride, pixel), **counts, "k": k}
    if kind == "words":
        return fields
    return {**fields, **window.depthwise(pixel, rng.choice((1, window.depthwise_taps))), "maximum": rng.randint(0, 1)}


def vector(rng: random.Random, p: MachineParameters) -> Case:
    """Any operation with any scalars."""
    operation = rng.choice(sorted(vector_operations(p)))
    rows, cols = rng.randint(1, 9), rng.choice((1, rng.randint(1, 40)))
    wide = {name: rng.random() < 0.5 for name in ("a", "b", "out")}
    layernorm, table = operation is VectorOperation.LAYERNORM, operation is VectorOperation.TABLE
    picks, gathers = operation is VectorOperation.TOPK, operation is VectorOperation.GATHER
    rows = 1 if picks else rows
    wide["b"] |= layernorm | gathers
    wide["a"] &= not table
    wide["out"] |= picks
    regions, command = Regions(rng), {}
    length = rng.choice((cols, rng.randint(1, cols + 2 * (not picks))))
    b = (2, cols) if layernorm else (1, TABLE_ENTRIES) if table else (1, rows) if gathers else (rows, cols)
    matrices = {"a": (GATHERED if gathers else rows, cols), "b": b, "out": (rows, length if picks else cols)}
    for name, (count, elements) in matrices.items():
        address, stride = regions.matrix(count, -(-(elements << wide[name]) // p.word_bytes))
        command |= {name: address, f"{name}_stride": stride, f"{name}_wide": int(wide[name])}
    if operation in (VectorOperation.ADD, VectorOperation.MULTIPLY) and rng.random() < 0.3:
        command["b_stride"] = 0
    scalars = ("a_zero_point", "b_zero_point", "shift_0", "shift_1", "epsilon", "rms", "a_left", "b_left")
    command |= {field.name: rng.randint(field.min, field.max) for field in VECTOR.fields if field.name in scalars}
    multipliers = (24, 18) if operation is VectorOperation.SOFTMAX else (16, 16)
    command |= {f"multiplier_{i}": rng.getrandbits(bits) | 1 for i, bits in enumerate(multipliers)}  # softmax refuses zero
    command |= {"shift_0": rng.randint(0, 47), "shift_1": rng.randint(0, 31 if layernorm else 47)}
    command |= {"length": length, "causal": rng.randint(0, 1)}
    command |= {"importance": rng.randint(0, p.pruning * (1 if picks else 2)), "protected": rng.choice((0, rng.randint(0, cols)))}
    command |= {"operation": operation, "rows": rows, "cols": cols, **_out_range(rng, wide=wide["out"])}
    if operation is VectorOperation.SOFTMAX and p.pruning:
        command |= {"a_left": rng.randint(0, 3), "a_zero_point": rng.randint(command["low"], command["high"])}
    scratchpad = noise(rng, p)
    if gathers:
        _put_numbers(scratchpad, command["b"], [rng.randrange(GATHERED) for _ in range(rows)])
    return [command], scratchpad


def _put_numbers(scratchpad: NDArray[np.uint8], address: int, numbers: list[int]) -> None:
    octets = np.array(numbers, np.uint16).view(np.uint8)
    words = scratchpad[address : address + -(-len(octets) // scratchpad.shape[1])].reshape(-1)
    words[: len(octets)] = octets


def load(rng: random.Random, p: MachineParameters) -> Case:
    """A transfer, perhaps of rows in a list, perhaps shifted."""
    (command,), scratchpad = transfer(rng, p)
    if not p.pruning:
        return [command], scratchpad
    end = command["scratchpad"] + command["scratchpad_stride"] * command["rows"]
    room = command["external"] // p.bus_bytes  # in front of it
    most, element = rng.randint(0, min(9, room)), rng.randrange(p.word_bytes // 2)
    shift_stride = rng.randint(0, room // most) * p.bus_bytes if most else 0
    _put_numbers(scratchpad, end, [0] * element + [most])
    _put_numbers(scratchpad, end + 1, [rng.randrange(command["rows"]) for _ in range(command["rows"])])
    shifted = rng.randint(0, 1)
    command |= {"gathers": rng.randint(0, 1), "numbers": end + 1, "shifted": shifted, "shift": end, "shift_element": element}
    return [command | {"shift_stride": shift_stride, "external": command["external"] - shifted * most * shift_stride}], scratchpad


def transfer(rng: random.Random, p: MachineParameters) -> Case:
    """A transfer that often crosses pages of 4 KiB."""
    rows, words = rng.choice(((1, rng.randint(1, 200)), (rng.randint(1, 6), rng.randint(1, 12))))
    scratchpad, scratchpad_stride = Regions(rng).matrix(rows, words)
    stride = (words + rng.randint(0, 5)) * p.slot_bytes
    most = (MEMORY_BYTES - (rows - 1) * stride - words * p.slot_bytes) // p.bus_bytes
    external = rng.randint(0, most) * p.bus_bytes
    command = {"external": external, "external_stride": stride, "rows": rows, "words": words}
    return [command | {"scratchpad": scratchpad, "scratchpad_stride": scratchpad_stride}], noise(rng, p)


def pim(rng: random.Random, p: MachineParameters) -> Case:
    """Macros in any order, with data that may be too short or too long, and products whose results do not depend on each other's."""
    d = p.dram
    assert d is not None
    regions, scratchpad = Regions(rng), noise(rng, p)
    place = lambda: {"row": rng.randrange(3), "column": rng.choice((0, d.columns - 2, rng.randrange(d.columns)))}  # noqa: E731
    everywhere = {"channels": (1 << d.channels) - 1}
    commands = [
        {"operation": Macro.SET_MODE, **everywhere, "mode": NumberFormat.INT8 << MODE_FORMAT},
        {"operation": Macro.WRITE_BUFFER, **everywhere, "count": d.buffer_columns, "length": rng.randint(1, p.scratchpad_words)},
    ]
    kinds = sorted(OF_PIM - {Macro.SET_MODE})
    for _ in range(rng.randint(4, 10)):
        fields = {
            "channels": rng.randrange(1, 1 << d.channels),
            "bank": rng.randrange(d.banks),
            "count": rng.choice((1, rng.randint(1, 9))),
        }
        fields |= {"buffer": rng.randrange(d.buffer_columns - 9), **place()}
        operation = rng.choice((PRODUCT, PRODUCT, Macro.WRITE_BUFFER, Macro.WRITE, *kinds))
        if operation == PRODUCT:
            fields |= _pim_product(rng, p, d, fields["channels"].bit_count(), regions, scratchpad)
        else:
            most = 2 * d.column_bytes * max(fields["count"], d.channels)
            fields["length"] = rng.choice((0, rng.randint(1, most), rng.randint(1, 2 * d.banks)))
            fields["a"], _ = regions.matrix(1, -(-fields["length"] // p.word_bytes))
        if operation == Macro.SCATTER:
            fields["buffer"] = rng.randrange(d.column_bytes)
        commands.append({"operation": operation, **fields})
    assert regions.end <= p.scratchpad_words
    return commands, scratchpad


def _pim_product(
    rng: random.Random, p: MachineParameters, d: Dram, channels: int, regions: Regions, scratchpad: NDArray[np.uint8]
) -> dict[str, int]:
    """What a product has beside its first macro's fields."""
    groups, flags = rng.randint(1, 3), {name: rng.randint(0, 1) for name in ("starts", "shared", "raw", "out_wide")}
    sums = groups * channels * d.banks
    n, length = rng.choice((1, sums, rng.randint(1, sums))), rng.choice((4 * sums, rng.randint(0, 5 * sums)))
    words = lambda octets: -(-octets // p.word_bytes)  # noqa: E731
    regions_of = {"a": words(length), "records": words(8 * n), "out": words((4 if flags["raw"] else 2) * n)}
    addresses = {name: regions.matrix(1, count)[0] for name, count in regions_of.items()}
    records = [
        CHANNEL.pack({"bias": rng.randint(-(1 << 20), 1 << 20), "multiplier": rng.getrandbits(16), "shift": rng.randint(0, 47)})
        for _ in range(n)
    ]
    octets = np.frombuffer(b"".join(record.to_bytes(8, "little") for record in records), np.uint8)
    scratchpad.reshape(-1)[addresses["records"] * p.word_bytes :][: octets.size] = octets
    again = {"again": rng.randint(0, 3), "again_buffer": rng.randrange(d.buffer_columns - 9)}
    limits = _limits(rng, wide=flags["out_wide"] > 0)
    return {
        "groups": groups,
        "group_columns": rng.choice((1, 9, d.columns)),
        "n": n,
        "length": length,
        **again,
        **addresses,
        **flags,
        **limits,
    }


CASES: dict[Engine, Callable[[random.Random, MachineParameters], Case]] = {
    Engine.LOAD: load,
    Engine.STORE: transfer,
    Engine.COMPUTE: compute,
    Engine.VECTOR: vector,
    Engine.PIM: pim,
    Engine.DEFORM: deform,
}
