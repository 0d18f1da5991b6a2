"""The pins of a module's DRAM channels, side by side in the ports that the C++ of a DRAM looks at."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..sw import driver
from ..sw.driver.dram import Pins

DRAM_SOURCES = [
    Path(driver.__file__).parent / f"dram{part}"
    for part in (".cpp", *(f"_{n}.h" for n in ("channels", "chip", "checker", "command", "mac")))
]


def wide(direction: str, bits: int, name: str) -> str:
    """A port, with so many spare bits that it is a wide one in C++."""
    return f"{direction} [{bits + 127}:0] {name}"


def find_pins(ports: Iterable[str]) -> Pins | None:
    """Of a module with these ports, each as `output [32:0] dfi0__command`."""
    found = [match for port in ports if (match := re.search(r"\[(\d+):0\] dfi\d+__(command|write_mask)$", port))]
    bits = {match[2]: int(match[1]) + 1 for match in found}
    return Pins(len(found) // 2, bits["command"], bits["write_mask"]) if found else None


def joined_pins(pins: Pins) -> tuple[list[str], list[str]]:
    """Ports of a module around the one with the pins, for sw/driver/dram_channels.h; and what is in it: wires named like the pins."""
    data = 8 * pins.column_bytes
    sizes = {"command": 64, "write_data": data, "write_mask": 64, "read_data": data}  # of a channel
    widths = {"command": pins.command_bits, "write_data": data, "write_mask": pins.column_bytes}
    ports = [wide("input" if name == "read_data" else "output", n * pins.channels, f"dram_{name}") for name, n in sizes.items()]
    inside = []
    for i in range(pins.channels):
        place = {name: f"dram_{name}[{size * i} +: {size}]" for name, size in sizes.items()}
        for name, width in widths.items():
            inside += [f"wire [{width - 1}:0] dfi{i}__{name};", f"assign {place[name]} = dfi{i}__{name};"]
        inside += [f"wire [{data - 1}:0] dfi{i}__read_data = {place['read_data']};", f"wire dfi{i}__read_valid = dram_read_valid[{i}];"]
    return [*ports, "input [31:0] dram_read_valid"], inside
