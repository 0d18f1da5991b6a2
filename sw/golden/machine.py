"""The golden model of the machine: runs steps one after the other on a scratchpad and an external memory."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.activation import MACHINE_GELU, MACHINE_TABLE, TABLE_ENTRIES
from ...rtl.arch.formats import Format
from ...rtl.arch.links import ANY_PROGRAM, Connections
from ...rtl.arch.parameters import EXTERNAL_ADDRESS_BITS, MachineParameters
from ...rtl.arch.steps import (
    ADDRESS_BITS,
    COMMANDS,
    IMPORTANCE_BEGINS,
    OUTSIDE,
    RESIDUAL_SCALARS,
    VECTOR_SCALARS,
    Engine,
    Step,
    VectorOperation,
    place_bits,
    vector_operations,
)
from ...rtl.arch.workers import workers_of
from .activation import ActivationParameters, ActivationTable, activation
from .add import AddParameters, add, rescale
from .convolution import pooled, repeated
from .deform_step import deform_step
from .importance import add_attention, pick
from .layernorm import LayerNormParameters, layernorm
from .links import Ring, rings
from .matmul import accumulate, requantize_sums
from .multiply import MultiplyParameters, multiply
from .narrow import from_narrow
from .pim_device import PimDevice
from .pim_step import pim_step
from .records import requantization
from .requantize import Int
from .softmax import SoftmaxParameters, machine_circuit, softmax
from .topk import topk

# Fields of commands: how many words of the link that it reads a step frees.
_FREES: Mapping[Engine, str] = {
    Engine.LOAD: "",
    Engine.STORE: "scratchpad_frees",
    Engine.COMPUTE: "a_frees",
    Engine.VECTOR: "a_frees",
    Engine.PIM: "",
    Engine.DEFORM: "offsets_frees",
}


class Machine:
    """scratchpad: uint8 [words, word_bytes]. memory: uint8, the driver's buffer. importance: of each token, 32 bits. flags: those set.
    pim: the DRAM whose banks compute, if there is one.
    connections: of these, the links; a port is taken to reach every bank.

    Raises ParameterError for links that the machine can't have.
    """

    def __init__(self, parameters: MachineParameters, memory_bytes: int, connections: Connections = ANY_PROGRAM) -> None:
        connections.check(parameters)
        self.parameters = parameters
        self._rings = rings(connections, parameters.word_bytes)
        self._worker = ""  # of the step under way
        self._read: Ring | None = None  # the link that it reads
        self.scratchpad = np.zeros((parameters.scratchpad_words, parameters.word_bytes), np.uint8)
        self.memory = np.zeros(memory_bytes, np.uint8)
        self.importance = np.zeros(parameters.row_elements, np.int64)
        self.flags = set[int]()
        self.pim = PimDevice(parameters.dram) if parameters.dram else None

    def run(self, steps: Iterable[Step]) -> None:
        """In program order, which every legal order of a correctly waiting program agrees with.

        Raises ValueError where a step reads a word of a link that is not filled, or writes one that is not free.
        """
        engines = {
            Engine.LOAD: self._load,
            Engine.STORE: self._store,
            Engine.COMPUTE: self._compute,
            Engine.VECTOR: self._vector,
            Engine.PIM: self._pim,
            Engine.DEFORM: self._deform,
        }
        for ring in self._rings:
            ring.empty()
        steps = list(steps)
        for step, worker in zip(steps, workers_of(steps, self.parameters), strict=True):
            if step.when and step.when not in self.flags:
                continue
            fields = dict.fromkeys((field.name for field in COMMANDS[step.engine].fields), 0)
            self._worker, self._read = worker.name, None
            engines[step.engine]({**fields, **step.command})
            for ring in self._rings:
                ring.end_step(step.command.get(_FREES[step.engine], 0) if ring is self._read else 0)

    def _stored(self, addresses: NDArray[np.int64], port: str, *, writes: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The memory in which the words lie that the worker's port reads or writes, and where in it."""
        for ring in self._rings:
            if ring.holds(addresses):
                places = ring.places(addresses, f"{self._worker}.{port}", writes=writes)
                self._read = self._read if writes else ring
                return ring.words, places
        return self.scratchpad, addresses

    def read_matrix(self, address: int, stride: int, rows: int, cols: int, *, wide: bool, port: str = "") -> Int:
        """[rows, cols] elements from words of the scratchpad, or of a link that ends at the port."""
        dtype = np.dtype(np.int16 if wide else np.int8)
        words = -(-cols * dtype.itemsize // self.parameters.word_bytes)
        lines = address + stride * np.arange(rows)[:, None] + np.arange(words)
        memory, places = self._stored(lines, port)
        return memory[places].reshape(rows, -1).view(dtype)[:, :cols].astype(np.int64)

    def write_matrix(self, address: int, stride: int, values: Int, *, wide: bool, whole_words: bool) -> None:
        """Elements to words of the scratchpad or a link. whole_words: the rest of a row's last word becomes zero, else it stays."""
        dtype = np.dtype(np.int16 if wide else np.int8)
        row_bytes = values.shape[1] * dtype.itemsize
        words = -(-row_bytes // self.parameters.word_bytes)
        lines = address + stride * np.arange(len(values))[:, None] + np.arange(words)
        memory, places = self._stored(lines, "write", writes=True)
        octets = memory[places].reshape(len(values), -1)
        octets[:, :row_bytes] = values.astype(dtype).view(np.uint8).reshape(len(values), -1)
        if whole_words:
            octets[:, row_bytes:] = 0
        memory[places] = octets.reshape(*lines.shape, -1)

    def _transfer(self, c: Mapping[str, int], numbers: Int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Scratchpad lines [rows, words] and memory bytes [rows, words, slot_bytes] of a transfer. numbers: of the rows in memory."""
        p = self.parameters
        rows, words = np.arange(c["rows"]), np.arange(c["words"])
        lines = c["scratchpad"] + c["scratchpad_stride"] * rows[:, None] + words
        starts = (c["external"] + c["external_stride"] * (rows if numbers is None else numbers)) % (1 << EXTERNAL_ADDRESS_BITS)
        return lines, (starts[:, None] + p.slot_bytes * words)[:, :, None] + np.arange(p.slot_bytes)

    def _numbers(self, address: int, count: int) -> Int:
        """Unsigned, side by side."""
        (numbers,) = self.read_matrix(address, 0, 1, count, wide=True)
        return numbers & 0xFFFF

    def _load(self, c: Mapping[str, int]) -> None:
        if c["shifted"]:
            shift = int(self._numbers(c["shift"], c["shift_element"] + 1)[-1])
            c = {**c, "external": (c["external"] + shift * c["shift_stride"]) % (1 << EXTERNAL_ADDRESS_BITS)}
        lines, octets = self._transfer(c, self._numbers(c["numbers"], c["rows"]) if c["gathers"] else None)
        memory, places = self._stored(lines, "write", writes=True)
        memory[places] = self.memory[octets][:, :, : self.parameters.word_bytes]

    def _store(self, c: Mapping[str, int]) -> None:
        lines, octets = self._transfer(c)
        memory, places = self._stored(lines, "read")
        padding = self.parameters.slot_bytes - self.parameters.word_bytes
        self.memory[octets] = np.pad(memory[places], ((0, 0), (0, 0), (0, padding)))  # the bus writes whole beats

    def _windows(self, c: Mapping[str, int], words: int, pixels: int) -> Int:
        """The bytes of a in each tap of each window, [lines * m, taps, pixels, words * rows]. pixels: of a tap, from its last one back."""
        rows = self.parameters.rows
        bits = place_bits(rows)
        i, j, v, u, r, word, byte = np.ogrid[: c["lines"], : c["m"], : c["taps_y"], : c["taps_x"], :pixels, :words, :rows]
        line = c["a"] + i * c["a_line"] + v * c["a_tap_y"]
        y = c["y_start"] + i * c["y_step"] + v * c["y_tap"]
        x = c["x_start"] + (c["skip_first"] + j * (c["skip"] + 1) - r) * c["x_step"] + u * c["x_tap"] + (word << bits) + byte
        inside = (y >= 0) & (y < c["height"]) & (x >= 0) & (x < c["width"])
        lines, octets = np.broadcast_arrays((line + (x >> bits)) % (1 << ADDRESS_BITS), x & ((1 << bits) - 1))
        outside = c["a_zero_point"] + (OUTSIDE if c["maximum"] else 0)
        memory, places = self._stored(lines[inside], "read_a")
        found = np.full(inside.shape, outside, np.int64)
        found[inside] = memory.view(np.int8)[places, octets[inside]]
        return found.reshape(c["lines"] * c["m"], -1, pixels, words * rows)

    def _taps(self, c: Mapping[str, int]) -> Int:
        """b, [taps * k, n]. Raises ValueError where the machine refuses it."""
        weights = Format(self.parameters.weight_bits)
        if c["b_narrow"] < self.parameters.least_narrow or not weights.min <= c["b_zero_point"] <= weights.max:
            raise ValueError(f"b and its zero point must fit {weights.bits} bits, not {8 >> c['b_narrow']} and {c['b_zero_point']}")
        n, k, taps = c["n"], c["k"], c["taps_x"] * c["taps_y"]
        word = self.parameters.rows << c["b_narrow"]  # elements
        padded = -(-k // word) * word
        if c["b_transposed"]:
            octets = self.read_matrix(c["b"], c["b_stride"], n, taps * padded >> c["b_narrow"], wide=False)
            b = from_narrow(octets, 8 >> c["b_narrow"]).T
        else:
            b = self.read_matrix(c["b"], c["b_stride"], (taps - 1) * padded + k, n, wide=False)
            b = np.pad(b, ((0, padded - k), (0, 0)))
        return b.reshape(taps, padded, n)[:, :k].reshape(-1, n)

    def _factors(self, c: Mapping[str, int]) -> Int | None:
        """Of each tap and channel, [taps, n]; None where they are 1. Raises ValueError where the machine refuses them."""
        p, taps, tiles = self.parameters, c["taps_x"] * c["taps_y"], -(-c["n"] // self.parameters.cols)
        if not c["b_factored"]:
            return None
        if not p.factor_bits:
            raise ValueError("b must not be b_factored where factor_bits is 0")
        lines = c["factors"] + np.arange(tiles * taps * p.factor_words)
        octets = self.scratchpad[lines].reshape(tiles, taps, -1)[..., : p.cols]
        return octets.transpose(1, 0, 2).reshape(taps, -1)[:, : c["n"]].astype(np.int64)

    def _with_residual(self, c: Mapping[str, int], results: Int) -> Int:
        """Raises ValueError where the machine refuses it."""
        if not self.parameters.residual:
            raise ValueError("results must not have a residual where the machine's residual is 0")
        shape = (c["lines"], results.size // c["lines"]) if c["packed"] else results.shape
        r = self.read_matrix(c["r"], c["r_stride"], *shape, wide=bool(c["r_wide"])).reshape(results.shape)
        return add(results, r, AddParameters(**{name: c[field] for field, name in RESIDUAL_SCALARS.items()}))

    def _write_changed(self, c: Mapping[str, int], results: Int) -> None:
        """Packed results, or repeated ones. Raises ValueError where the machine refuses it."""
        p, wide = self.parameters, bool(c["out_wide"])
        changes = c["pooled"] + c["repeated"]
        fits = changes == 0 or (changes == 1 and not wide and not c["residual"])
        in_pairs = not c["pooled"] or (c["packed"] and c["lines"] % 2 == p.cols % 2 == 0)
        packs = not c["packed"] or (p.packing and c["n"] == p.cols)
        if not (packs and fits and in_pairs):
            raise ValueError("with packing rows of cols results are packed, and pooled; repeated are those of 8 bits without a residual")
        if not c["packed"]:
            lines = repeated(results, c["m"]).reshape(2 * c["lines"], 2 * c["m"], -1)
            for i, line in enumerate(lines):
                self.write_matrix(c["out"] + i * c["out_line"], c["out_stride"], line, wide=False, whole_words=False)
            return
        lines, width = c["lines"], c["m"] * c["n"]
        if c["pooled"]:
            lines, results = lines // 2, pooled(results.reshape(-1, 1), width)
        if c["repeated"]:
            lines, results = 2 * lines, repeated(results.reshape(-1, 1), width)
        self.write_matrix(c["out"], c["out_stride"], results.reshape(lines, -1), wide=wide, whole_words=False)

    def _compute(self, c: Mapping[str, int]) -> None:
        p = self.parameters
        n, k, b, factors = c["n"], c["k"], self._taps(c), self._factors(c)
        tables = c["channels"] + c["channels_stride"] * np.arange(-(-n // p.cols))[:, None] + np.arange(p.channel_words)
        records = self.scratchpad[tables].reshape(len(tables), -1)[:, : 8 * p.cols].reshape(-1, 8)[:n]
        parameters = requantization(c, records, a_zero_point=c["a_zero_point"], b_zero_point=c["b_zero_point"])
        if c["depthwise"]:
            left, right = self._windows(c, -(-n // p.rows), k)[..., :n] - c["a_zero_point"], b.reshape(-1, k, n) - c["b_zero_point"]
            taps = (left * right).sum(axis=2) * (1 if factors is None else factors)
            total = taps.max(axis=1) if c["maximum"] else taps.sum(axis=1)
        else:
            a = self._windows(c, -(-k // p.rows), 1)[..., :k]
            total = accumulate(a.reshape(len(a), -1), b, c["a_zero_point"], c["b_zero_point"], factors)
        out = requantize_sums(total, parameters)
        if c["tabulated"]:
            (entries,) = self.read_matrix(c["table"], 0, 1, TABLE_ENTRIES, wide=False)
            out = entries[(out + TABLE_ENTRIES // 2) % TABLE_ENTRIES]
        if c["residual"]:
            out = self._with_residual(c, out)
        if c["packed"] or c["repeated"] or c["pooled"]:
            self._write_changed(c, out)
        else:
            self.write_matrix(c["out"], c["out_stride"], out, wide=bool(c["out_wide"]), whole_words=False)

    def _vector(self, c: Mapping[str, int]) -> None:
        """Raises ValueError where the machine refuses it."""
        operation = VectorOperation(c["operation"])
        if operation not in vector_operations(self.parameters):
            raise ValueError(f"this machine's vector engine does no {operation.name.lower()}")
        rows, cols = c["rows"], c["cols"]
        a = self.read_matrix(c["a"], c["a_stride"], rows, cols, wide=bool(c["a_wide"]), port="read_a")
        scalars = {name: c[field] for field, name in VECTOR_SCALARS[operation].items()}

        def b(count: int, cols: int = cols) -> Int:
            return self.read_matrix(c["b"], c["b_stride"], count, cols, wide=bool(c["b_wide"]))

        match operation:
            case VectorOperation.ADD:
                out = add(a, b(rows), AddParameters(**scalars))
            case VectorOperation.MULTIPLY:
                out = multiply(a, b(rows), MultiplyParameters(**scalars))
            case VectorOperation.RESCALE:
                out = rescale(a, AddParameters(**scalars))
            case VectorOperation.SOFTMAX:
                masked = SoftmaxParameters(**scalars, rows=rows if c["causal"] else 1)
                out = softmax(a, masked, machine_circuit(self.parameters.lanes))
                if c["a_left"]:
                    is_flat = (out.max(axis=1) < c["a_zero_point"]).any()
                    self.flags = self.flags | {c["a_left"]} if is_flat else self.flags - {c["a_left"]}
                if c["importance"]:
                    before = 0 if c["importance"] == IMPORTANCE_BEGINS else self.importance[:cols]
                    self.importance[:cols] = add_attention(before, out, c["out_zero_point"])
            case VectorOperation.GELU:
                out = activation(a, ActivationParameters(**scalars), MACHINE_GELU)
            case VectorOperation.LAYERNORM:
                gamma, beta = b(2)
                out = layernorm(a, LayerNormParameters(gamma=gamma, beta=beta, **scalars))
            case VectorOperation.TABLE:
                (entries,) = b(1, TABLE_ENTRIES)
                out = activation(a, ActivationTable(tuple(entries.tolist())), MACHINE_TABLE)
            case VectorOperation.TOPK:
                if c["importance"]:
                    places, kept = pick(self.importance[:cols], **scalars)
                    self.importance[: len(kept)] = kept
                    out = a[:, places]
                else:
                    out = b(1)[:, topk(a[0], c["length"])]
            case VectorOperation.GATHER:
                lines = (c["a"] + self._numbers(c["b"], rows) * c["a_stride"]) % (1 << ADDRESS_BITS)
                out = np.concatenate([self.read_matrix(line, 0, 1, cols, wide=bool(c["a_wide"])) for line in lines])
        self.write_matrix(c["out"], c["out_stride"], out, wide=bool(c["out_wide"]), whole_words=True)

    def _pim(self, c: Mapping[str, int]) -> None:
        """Raises ValueError where the machine refuses it."""
        if self.pim is None:
            raise ValueError("a machine without pim has no such step")
        (data,) = self.read_matrix(c["a"], 0, 1, c["length"], wide=False)
        sums = pim_step(self.pim, c, data.astype(np.int8).view(np.uint8))
        if not sums.size:
            return
        if c["raw"]:
            out, wide = sums.astype(np.int32).view(np.int8).astype(np.int64), False
        else:
            words = c["records"] + (0 if c["shared"] else 1) * np.arange(-(-8 * sums.size // self.parameters.word_bytes))
            records = self.scratchpad[words].reshape(-1, 8)[: sums.size]
            out, wide = requantize_sums(sums[None], requantization(c, records))[0], bool(c["out_wide"])
        self.write_matrix(c["out"], 0, out[None], wide=wide, whole_words=True)

    def _deform(self, c: Mapping[str, int]) -> None:
        """Raises ValueError where the machine refuses it."""

        def read(addresses: NDArray[np.int64], port: str) -> NDArray[np.uint8]:
            memory, places = self._stored(addresses, port)
            return memory[places]

        addresses, words = deform_step(c, self.parameters, read)
        memory, places = self._stored(addresses, "write", writes=True)
        memory[places] = words
