"""Cores that were written for Vivado, as their IP-XACT tells of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celosia.boards.vivado.board import CORES
from celosia.boards.vivado.ipxact import NAMESPACES
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]


def cores(folder: Path) -> Iterator[tuple[Path, Any]]:
    """The folder and description of each core."""
    for path in sorted((folder / CORES).glob("*/component.xml")):
        yield path.parent, etree.parse(path).getroot()


def of(node: Any, path: str) -> list[Any]:
    return node.findall("/".join(f"spirit:{name}" for name in path.split("/")), NAMESPACES)


def one(node: Any, path: str) -> str:
    (found,) = of(node, path)
    return found.text


def buses(node: Any) -> dict[str, tuple[str, dict[str, str], dict[str, str]]]:
    """By name: its side, its ports by the bus's names, its parameters."""
    found = {}
    for bus in of(node, "busInterfaces/busInterface"):
        (side,) = (side for side in ("master", "slave") if of(bus, side))
        ports = {one(pair, "logicalPort/name"): one(pair, "physicalPort/name") for pair in of(bus, "portMaps/portMap")}
        found[one(bus, "name")] = side, ports, {one(p, "name"): one(p, "value") for p in of(bus, "parameters/parameter")}
    return found


def ports(node: Any) -> dict[str, tuple[str, int]]:
    """Direction and width by name."""
    found = {}
    for port in of(node, "model/ports/port"):
        ends = [int(one(port, f"wire/vector/{end}")) for end in ("left", "right")] if of(port, "wire/vector") else [0, 0]
        found[one(port, "name")] = one(port, "wire/direction"), ends[0] - ends[1] + 1
    return found
