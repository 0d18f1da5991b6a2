"""Run a single block on a device: arrays of rows in, arrays of results out."""

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.blocks import BlockError
from ...rtl.arch.rows import IDENTITY, ROW_OFFSETS, WORD_BYTES, RowsError
from ..block import BlockManifest
from ..executor import InputError
from .control import ACKNOWLEDGE, ERROR, RESET, START, Driver, check_identity, wait_for_end
from .device import Device, DeviceError

TIMEOUT_CYCLES = 1 << 26  # some cycles an element are enough


class RowBlock(Driver):
    """A block on an open device, which it owns.

    Raises DeviceError if the device is no such block of this format version, or was generated for another configuration.
    """

    def __init__(self, device: Device, manifest: BlockManifest) -> None:
        super().__init__(device, ROW_OFFSETS)
        self.manifest = manifest
        wanted = f"block {manifest.name} was generated for"
        check_identity(device, IDENTITY, manifest.configuration, kind="block", wanted=wanted)
        self._write("control", RESET | ACKNOWLEDGE)

    def run(self, x: NDArray) -> NDArray:
        """The block's result for each row. x: integers [..., n] in the range of the manifest's ``source``. Returns integers of the same
        shape, of the type of ``out``.

        Raises InputError on another type, range or length, DeviceError where the device refuses it; the next run starts anew.
        """
        manifest, places = self.manifest, self.manifest.places
        x = np.asarray(x)
        if x.dtype.kind not in "iu":
            raise InputError(f"{manifest.name} takes integers, {manifest.source}, not {x.dtype}")
        length = x.shape[-1] if x.ndim else 0
        if not 1 <= length <= places.longest_row:
            raise InputError(f"a row of {manifest.name} has 1 to {places.longest_row} elements, not {length}")
        if x.size and not (manifest.source.min <= x.min() and x.max() <= manifest.source.max):
            raise InputError(f"{manifest.name} takes {manifest.source}, not {x.min()} to {x.max()}")
        rows = x.reshape(-1, length).astype(f"<{_code(str(manifest.source))}")
        step = places.most_elements // length
        found = [self._run(rows[start : start + step]) for start in range(0, len(rows), step)]
        return np.concatenate(found).reshape(x.shape) if found else np.zeros(x.shape, str(manifest.out))

    @property
    def cycles(self) -> int:
        """Of the last run; an array that the memory can't hold takes several runs."""
        return self._read("cycles")

    def _run(self, rows: NDArray) -> NDArray:
        manifest = self.manifest
        raw = rows.tobytes()
        self.device.write_memory(0, raw + bytes(-len(raw) % WORD_BYTES))  # whole words need not be read before
        self._write("row_elements", rows.shape[1])
        self._write("elements", rows.size)
        self._write("control", START)
        if wait_for_end(self.device, TIMEOUT_CYCLES) & ERROR:
            self._fail(rows)
        raw = self.device.read_memory(manifest.places.results, rows.size * manifest.out.bytes)
        return np.frombuffer(raw, f"<{_code(str(manifest.out))}").reshape(rows.shape).astype(str(manifest.out))

    def _fail(self, rows: NDArray) -> None:
        code = self._read("error")
        self._write("control", RESET)
        if code >= RowsError.BLOCK:
            what = f"dropped a row, {BlockError(code - RowsError.BLOCK).name}"
        else:
            what = {RowsError.ROW: "does not take so long a row", RowsError.ELEMENTS: "does not take so many elements"}[RowsError(code)]
        raise DeviceError(f"block {self.manifest.name} {what}: {rows.shape[0]} rows of {rows.shape[1]} elements")


def _code(name: str) -> str:
    """NumPy's short name of an integer type."""
    return np.dtype(name).str[1:]
