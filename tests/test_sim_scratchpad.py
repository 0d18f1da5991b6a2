"""The scratchpad alone, all its ports busy: its banks, and the ports before them."""

from dataclasses import asdict
from typing import Any

import pytest
from celosia.rtl.arch.links import Connections, Link
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.banks import Banks, Ports
from celosia.rtl.scratchpad import Scratchpad
from celosia.tb.paths import combinational_paths
from celosia.tb.runner import run_bench

FOUR_BANKS = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4)
ONE_BANK = MachineParameters(rows=12, cols=12, lanes=3, scratchpad_kib=1, banks=1)
TWO_REGIONS = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4, units=2)
GROUPS = {"read_groups": [[1, 4], [2, 3]], "write_groups": [[0, 2]]}
# Some banks are reached by all, one or none of the readers or writers or of a group; the second reader reaches none.
REACHED = {
    "read0": {0, 1, 2, 3},
    "read2": {0, 1},
    "read3": {1, 3},
    "read4": {0, 3},
    "write0": {0, 1, 2},
    "write1": {0, 2},
    "write2": {0, 1},
}
REACH = {port: frozenset(banks) for port, banks in REACHED.items()}
MACHINES = pytest.mark.parametrize(
    ("machine", "readers", "writers", "groups", "reach"),
    [
        (FOUR_BANKS, 5, 3, {}, None),
        (ONE_BANK, 2, 1, {}, None),
        (TWO_REGIONS, 6, 3, GROUPS, None),
        (FOUR_BANKS, 5, 3, {}, REACH),
        (TWO_REGIONS, 6, 3, GROUPS, REACH),
    ],
    ids=["four-banks", "one-bank", "two-regions", "four-banks-reach", "two-regions-reach"],
)


def _ports(readers: int, writers: int, groups: dict[str, Any]) -> dict[str, Any]:
    names = {"readers": [f"read{i}" for i in range(readers)], "writers": [f"write{i}" for i in range(writers)]}
    return {**names, "read_groups": [], "write_groups": [], **groups}


def _about(machine: MachineParameters, reach: dict[str, frozenset[int]] | None) -> dict[str, Any]:
    return {"machine": asdict(machine), "reach": reach and {port: sorted(banks) for port, banks in reach.items()}}


@MACHINES
def test_banks(
    machine: MachineParameters, readers: int, writers: int, groups: dict[str, Any], reach: dict[str, frozenset[int]] | None
) -> None:
    ports = _ports(readers, writers, groups)
    run_bench(
        Banks(machine, Ports(connections=Connections(reach=reach), **ports)), "celosia.tb.test_banks", {**_about(machine, reach), **ports}
    )


@MACHINES
def test_scratchpad(
    machine: MachineParameters, readers: int, writers: int, groups: dict[str, Any], reach: dict[str, frozenset[int]] | None
) -> None:
    ports = _ports(readers, writers, groups)
    scratchpad = Scratchpad(machine, Ports(connections=Connections(reach=reach), **ports))
    ways = combinational_paths(scratchpad)
    assert {b for _, b in ways} <= {"out_of_range"}, "an answer comes from registers"
    run_bench(scratchpad, "celosia.tb.test_scratchpad", {**_about(machine, reach), **ports})


def test_links() -> None:
    """Ports with one link, with several, and with a bank beside them."""
    ports: dict[str, Any] = {"readers": ["vector.read_a", "compute1.read_a", "store.read"], "writers": ["compute0.write", "vector.write"]}
    ends = (
        ("compute0.write", "compute1.read_a", 8),
        ("vector.write", "compute1.read_a", 2),
        ("compute0.write", "store.read", 16),
        ("vector.write", "vector.read_a", 4),
    )
    links = tuple(Link(writer=writer, reader=reader, words=words) for writer, reader, words in ends)
    reach = {port: frozenset({0}) for port in ("compute1.read_a", "vector.write")}
    scratchpad = Scratchpad(FOUR_BANKS, Ports(connections=Connections(links=links, reach=reach), **ports))
    ways = combinational_paths(scratchpad)
    assert {b for _, b in ways} <= {"out_of_range"}, "an answer comes from registers"
    run_bench(scratchpad, "celosia.tb.test_link", {**_about(FOUR_BANKS, reach), **ports, "links": [asdict(link) for link in links]})
