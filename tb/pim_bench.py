"""The PIM controller with a DRAM on its pins, Verilated: what goes into its ports, what comes out, and the referee of its commands."""

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..gen.dram_pins import DRAM_SOURCES, joined_pins, wide
from ..gen.simulation import compile_library
from ..gen.verilog import to_verilog
from ..rtl.arch.dram import Command, Dram
from ..rtl.arch.pim import MACRO, Macro, PimError
from ..rtl.axi import axi4_ports
from ..rtl.pim.axi_port import PREFIX
from ..rtl.pim.controller import PimController
from ..sw.driver.dram import Channels, Pins
from . import runner

_SOURCES = [*(Path(__file__).with_suffix(kind) for kind in (".cpp", ".h")), *DRAM_SOURCES]
_MACRO_BYTES = MACRO.bits // 8
_OKAY = 0


_COMMAND = np.dtype([("cycle", np.uint64), *((name, np.uint32) for name in ("channel", "command", "bank", "row", "column", "buffer"))])


@functools.cache
def _library(dram: Dram) -> ctypes.CDLL:
    design = _wrapper(dram) + to_verilog(PimController(dram), name="pim")
    with runner.own_folder(design) as folder:
        lib = ctypes.CDLL(str(compile_library(design, "pim", _SOURCES, folder, optimise="-O1")))
    lib.bench_open.restype = ctypes.c_void_p
    lib.bench_cycles.restype = ctypes.c_uint64
    return lib


class PimBench:
    """A controller out of reset, with an empty DRAM. Its library is built unless that was done before.

    refresh: whether the referee asks for refreshes. Every violation of the DRAM's rules raises AssertionError where `run` comes to it.
    Columns are rows of `column_bytes` bytes.
    """

    def __init__(self, dram: Dram, *, refresh: bool = True) -> None:
        self.dram, self._lib = dram, _library(dram)
        self._channels = Channels(dram, self._lib, refresh=refresh)
        self._bench = ctypes.c_void_p(self._lib.bench_open(ctypes.c_void_p(self._channels.handle)))

    def close(self) -> None:
        self._lib.bench_close(self._bench)

    def __enter__(self) -> "PimBench":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def macro(self, operation: Macro | int, **fields: int) -> None:
        """channels: all, unless given."""
        values = {"operation": operation, "channels": (1 << self.dram.channels) - 1, **fields}
        self._lib.bench_macros(self._bench, MACRO.pack(values).to_bytes(_MACRO_BYTES, "little"), 1)

    def write(self, columns: ArrayLike) -> None:
        """Data of macros."""
        data = self._columns(columns)
        self._lib.bench_write(self._bench, data.ctypes.data_as(ctypes.c_void_p), len(data))

    def read(self) -> NDArray[np.uint8]:
        """All data of macros that came since."""
        return self._taken(self._lib.bench_read, self.dram.column_bytes)

    def axi_read(self, address: int, beats: int) -> None:
        self._lib.bench_axi_read(self._bench, address, beats)

    def axi_write(self, address: int, columns: ArrayLike, strobes: Sequence[int] | None = None) -> None:
        """strobes: a bit for each byte, of each beat; all, unless given."""
        data = self._columns(columns)
        chosen = np.array(strobes or [(1 << self.dram.column_bytes) - 1] * len(data), np.uint64)
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (data, chosen))
        self._lib.bench_axi_write(self._bench, address, len(data), *pointers)

    def axi_beats(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """All beats read since, and their responses."""
        beats = self._taken(self._lib.bench_axi_beats, self.dram.column_bytes + 1)
        return beats[:, :-1], beats[:, -1]

    def axi_responses(self) -> NDArray[np.uint8]:
        """To the writes since."""
        return self._taken(self._lib.bench_axi_responses, 1)[:, 0]

    def stall(self, probability: float, seed: int) -> None:
        """Of each port in each cycle."""
        self._lib.bench_stall(self._bench, round(256 * probability), ctypes.c_uint64(seed))

    def run(self, cycles: int) -> None:
        self._ran(self._lib.bench_run(self._bench, ctypes.c_uint64(cycles), 0))

    def finish(self, limit: int = 1_000_000) -> int:
        """To where nothing is to be done: the cycles that it took. Raises AssertionError beyond the limit."""
        first = self.cycles
        assert self._ran(self._lib.bench_run(self._bench, ctypes.c_uint64(limit), 1)), f"not idle after {limit} cycles"
        took = self.cycles - first
        self.run(self.dram.timing.write_end)  # until copies, too, are in the DRAM
        return took

    def _ran(self, ended: int) -> bool:
        assert not self._channels.violation, self._channels.violation
        return bool(ended)

    @property
    def cycles(self) -> int:
        return self._lib.bench_cycles(self._bench)

    def clear(self) -> None:
        """The error, in the next cycle."""
        self._lib.bench_clear(self._bench)

    @property
    def error(self) -> tuple[PimError, int, int]:
        """With the numbers of its macro and channel."""
        values = [ctypes.c_uint32() for _ in range(3)]
        self._lib.bench_error(self._bench, *(ctypes.byref(value) for value in values))
        return PimError(values[0].value), values[1].value, values[2].value

    def mute(self, channel: int, mute: bool) -> None:
        """A muted channel's DRAM answers nothing."""
        self._channels.chips[channel].mute(mute)

    def row(self, channel: int, bank: int, row: int) -> NDArray[np.uint8]:
        """[columns, column_bytes], from the DRAM itself."""
        return self._channels.row(channel, bank, row)

    def set_row(self, channel: int, bank: int, row: int, columns: ArrayLike) -> None:
        data = self._columns(columns)
        assert data.shape[0] == self.dram.columns
        self._channels.chips[channel].write_row(bank, row, data.tobytes())

    def counts(self) -> Mapping[Command, int]:
        """Of the commands to all channels."""
        return self._channels.counts

    def record(self) -> None:
        """Keep the commands from now on."""
        self._lib.bench_record(self._bench)

    def commands(self) -> NDArray:
        """Those kept: cycle, channel, command, bank, row, column, buffer."""
        found = np.zeros(self._lib.bench_commands(self._bench, None, 0), _COMMAND)
        self._lib.bench_commands(self._bench, found.ctypes.data_as(ctypes.c_void_p), len(found))
        return found

    def _columns(self, columns: ArrayLike) -> NDArray[np.uint8]:
        return np.ascontiguousarray(columns, np.uint8).reshape(-1, self.dram.column_bytes)

    def _taken(self, take: Callable[..., int], size: int) -> NDArray[np.uint8]:
        found, most = [np.zeros((0, size), np.uint8)], 4096
        while True:
            some = np.zeros((most, size), np.uint8)
            count = take(self._bench, some.ctypes.data_as(ctypes.c_void_p), most)
            found.append(some[:count])
            if count < most:
                return np.concatenate(found)


def _wrapper(dram: Dram) -> str:
    """The controller with its streams, AXI channels and pins in ports that are wide ones for C++."""
    width = 8 * dram.column_bytes
    pins, inside = joined_pins(Pins.of(dram))

    single = ("macro_valid", "write_valid", "read_ready", "clear", "axi_arvalid", "axi_awvalid", "axi_wvalid", "axi_rready", "axi_bready")
    answers = (
        "macro_ready",
        "write_ready",
        "read_valid",
        "axi_arready",
        "axi_awready",
        "axi_wready",
        "axi_rvalid",
        "axi_rlast",
        "axi_bvalid",
    )
    ports = [
        *(f"input {name}" for name in ("clk", "rst", *single)),
        *(f"output {name}" for name in (*answers, "idle")),
        *(wide("input", bits, name) for name, bits in (("macro", MACRO.bits), ("write_data", width), ("axi_ar", 64), ("axi_aw", 64))),
        wide("input", width + 72, "axi_w"),
        *(wide("output", width, name) for name in ("read_data", "axi_rdata")),
        *(f"output [1:0] axi_{channel}resp" for channel in "rb"),
        *(f"output [31:0] {name}" for name in ("error", "error_macro", "error_channel")),
        *pins,
    ]
    size = (dram.column_bytes - 1).bit_length()
    fixed = {f"a{c}{name}": value for c in "rw" for name, value in (("id", "1'd0"), ("size", f"3'd{size}"), ("burst", "2'd1"))}
    beats = {"wdata": f"axi_w[{width - 1}:0]", "wstrb": f"axi_w[{width} +: {dram.column_bytes}]", "wlast": f"axi_w[{width + 64}]"}
    bursts = {f"a{c}{name}": f"axi_a{c}[{place}]" for c in "rw" for name, place in (("addr", "31:0"), ("len", "39:32"))}
    same = {n: f"axi_{n}" for n in axi4_ports(dram.column_bytes, "") if n not in (*fixed, *beats, *bursts, "rid", "bid")}
    connections = [
        *(f".{PREFIX}{name}({value})" for name, value in (fixed | beats | bursts | same).items()),
        f".macros__payload(macro[{MACRO.bits - 1}:0]), .macros__valid(macro_valid), .macros__ready(macro_ready)",
        f".write__payload(write_data[{width - 1}:0]), .write__valid(write_valid), .write__ready(write_ready)",
        f".read__payload(read_data[{width - 1}:0]), .read__valid(read_valid), .read__ready(read_ready)",
        *(f".{PREFIX}{name}()" for name in ("rid", "bid")),
        ".*",
    ]
    newline = "\n  "
    return f"""module simulation({", ".join(ports)});
  {newline.join(inside)}
  pim pim({", ".join(connections)});
endmodule
"""
