"""Named machines for ``--target``."""

from collections.abc import Mapping

from .parameters import MachineParameters

TARGETS: Mapping[str, MachineParameters] = {
    "tiny": MachineParameters(rows=8, cols=8, lanes=1, scratchpad_kib=64, bus_bytes=8),  # an ECP5-85F has room for it and a board's memory
    "small": MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=64, bus_bytes=8),
    "medium": MachineParameters(rows=16, cols=16, lanes=8, scratchpad_kib=128, bus_bytes=8),
    "large": MachineParameters(rows=32, cols=32, lanes=16, scratchpad_kib=512, bus_bytes=16),
}
DEFAULT_TARGET = "medium"
