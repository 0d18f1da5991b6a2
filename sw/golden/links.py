"""Links between workers (rtl/arch/links.py), as the machine's golden model has them."""

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.links import OFFSET_BITS, Connections, Link, link_address


class Ring:
    """A link's words, uint8 [words, word_bytes], and which of them are filled."""

    def __init__(self, number: int, link: Link, word_bytes: int) -> None:
        self.link = link
        self.words = np.zeros((link.words, word_bytes), np.uint8)
        self._name = f"link {number} ({link.writer} to {link.reader}, {link.words} words)"
        self._address = link_address(number)
        self._first_filled = self._filled = 0
        self._written = np.zeros(link.words, bool)  # by the step under way

    def empty(self) -> None:
        """As before a run."""
        self._first_filled = self._filled = 0
        self._written[:] = False

    def holds(self, addresses: NDArray[np.int64]) -> bool:
        """Whether all addresses are those of its words."""
        return bool(addresses.size and (addresses >> OFFSET_BITS == self._address >> OFFSET_BITS).all())

    def places(self, addresses: NDArray[np.int64], port: str, *, writes: bool) -> NDArray[np.int64]:
        """Which of ``words`` they are. Raises ValueError where one is not filled; where they are written, not free or written twice;
        and where the link is not the port's."""
        if port != (self.link.writer if writes else self.link.reader):
            raise ValueError(f"{self._name}: it is not one of {port}'s")
        places = addresses % self.link.words
        ahead = (places - self._first_filled) % self.link.words
        wrong = places[(ahead >= self._filled) != writes]
        if wrong.size:
            raise ValueError(f"{self._name}: word {wrong[0]} is {'written, but not free' if writes else 'read, but not filled'}")
        if writes:
            if self._written[places].any() or np.unique(places).size < places.size:
                raise ValueError(f"{self._name}: a step writes a word twice")
            self._written[places] = True
        return places

    def end_step(self, frees: int) -> None:
        """What the step wrote is filled, and so much of what was filled is free. Raises ValueError where that can't be."""
        written = int(self._written.sum())
        first_free = self._first_filled + self._filled
        if not self._written[(first_free + np.arange(written)) % self.link.words].all():
            raise ValueError(f"{self._name}: a step writes other words than the first free ones")
        if frees > self._filled:
            raise ValueError(f"{self._name}: a step frees {frees} words, but only {self._filled} are filled")
        self._written[:] = False
        self._first_filled, self._filled = (self._first_filled + frees) % self.link.words, self._filled + written - frees


def rings(connections: Connections, word_bytes: int) -> list[Ring]:
    return [Ring(number, link, word_bytes) for number, link in enumerate(connections.links)]
