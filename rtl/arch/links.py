"""What of a machine's scratchpad is built for one program: the banks that each port uses, and links between two ports.

A link is a memory of its own between a port that writes and a port that reads: a ring of words, through which a tensor goes from one
worker to another without ever being there whole. Of the words some are filled, in their order around the ring, the others are free. A step
writes free words, in any order, each one whole or in parts, with its lowest byte once; when all that it writes is written, they are
filled. A word is read when it is filled, in any order and as often as one likes; with the last word that it reads a step frees as many of
the first filled ones as its command says, be they read or not. Who asks for a word that is not yet free or filled waits for it: so steps
need no waits for those at the other end of a link. A run begins with empty links.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from re import fullmatch
from typing import Any

from typing_extensions import Self

from .checks import power_of_two, require
from .parameters import MachineParameters
from .steps import ADDRESS_BITS
from .workers import workers

LINK_ADDRESS = 1 << 23  # addresses from here on: the link's number, then a place, of which the ring's end takes away the high bits
OFFSET_BITS = 16  # of a place
MOST_LINKS = 1 << ADDRESS_BITS - OFFSET_BITS - 1
MOST_LINK_WORDS = 1 << OFFSET_BITS - 1


@dataclass(frozen=True, kw_only=True)
class Link:
    """writer, reader: ports, as <worker>.<port>: compute0.write, vector.read_a. words: of the ring. Raises ParameterError."""

    writer: str
    reader: str
    words: int

    def __post_init__(self) -> None:
        writers = r"(load|vector|compute\d?|deform)\.write"
        readers = r"(vector|compute\d?)\.read_a|deform\.read_offsets|store\.read"  # those whose commands say what they free
        require(fullmatch(writers, self.writer) is not None, "writer", "the write port of a worker", self.writer)
        require(
            fullmatch(readers, self.reader) is not None, "reader", "read_a of a worker, deform.read_offsets, or store.read", self.reader
        )
        allowed = f"a power of two in 2..{MOST_LINK_WORDS}"
        require(power_of_two(self.words) and 2 <= self.words <= MOST_LINK_WORDS, "words", allowed, self.words)


@dataclass(frozen=True, kw_only=True)
class Connections:
    """links: by their numbers. reach: for each port of the scratchpad the banks that are used through it, none where it isn't named; or
    every port reaches every bank."""

    links: tuple[Link, ...] = ()
    reach: Mapping[str, frozenset[int]] | None = None

    def __post_init__(self) -> None:
        require(len(self.links) <= MOST_LINKS, "links", f"at most {MOST_LINKS}", len(self.links))

    def check(self, parameters: MachineParameters) -> None:
        """Raise ParameterError where the machine can't have them."""
        words = parameters.scratchpad_words
        require(not self.links or words <= LINK_ADDRESS, "scratchpad words", f"at most {LINK_ADDRESS} beside links", words)
        names = [worker.name for worker in workers(parameters)]
        for link in self.links:
            for port in (link.writer, link.reader):
                require(port.split(".")[0] in names, "port of a link", f"of one of {', '.join(names)}", port)
        for port, banks in (self.reach or {}).items():
            require(all(0 <= bank < parameters.banks for bank in banks), f"reach of {port}", f"of {parameters.banks} banks", sorted(banks))

    def banks_of(self, port: str, parameters: MachineParameters) -> list[int]:
        """The banks that the port reaches."""
        return list(range(parameters.banks)) if self.reach is None else sorted(self.reach.get(port, ()))

    def links_of(self, port: str) -> list[int]:
        """Numbers of the links that begin or end at the port."""
        return [number for number, link in enumerate(self.links) if port in (link.writer, link.reader)]

    def as_dict(self) -> dict[str, object]:
        """What is not as in a machine for any program, of plain lists and numbers."""
        found: dict[str, object] = {"links": [asdict(link) for link in self.links]} if self.links else {}
        return found if self.reach is None else {**found, "reach": {port: sorted(banks) for port, banks in self.reach.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `as_dict` gave, or from what claims to be that. Raises ParameterError, TypeError or ValueError."""
        links, reach = values.get("links", []), values.get("reach")
        return cls(
            links=tuple(Link(**link) for link in links),
            reach=None if reach is None else {str(port): frozenset(map(int, banks)) for port, banks in reach.items()},
        )


ANY_PROGRAM = Connections()  # of a machine that runs whatever it is given


def link_address(number: int) -> int:
    """Of the first word of a link."""
    return LINK_ADDRESS + (number << OFFSET_BITS)
