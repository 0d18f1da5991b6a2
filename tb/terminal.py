"""Pseudo-terminals with something at their other end that is no real board."""

import os
import select
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ROOM = 4096  # bytes at once


class Terminal:
    """A pseudo-terminal on whose other end ``answer`` is called all the time, with what came, and gives what goes back.

    port: its name. unplug: the other end is gone.
    """

    def __init__(self, answer: Callable[[bytes], bytes], *, idle: float = 0.0) -> None:
        self._answer, self._idle, self._ended = answer, idle, threading.Event()
        self._board, self._port = os.openpty()
        tty.setraw(self._port)
        self.port = os.ttyname(self._port)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ended.is_set():
            came = select.select([self._board], [], [], self._idle)[0]
            try:
                found = self._answer(os.read(self._board, ROOM) if came else b"")
                if found:
                    os.write(self._board, found)
            except OSError:  # nobody has the port open
                self._ended.wait(0.01)

    def unplug(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join()
            os.close(self._board)

    def close(self) -> None:
        self.unplug()
        os.close(self._port)


@contextmanager
def terminal(answer: Callable[[bytes], bytes], *, idle: float = 0.0) -> Iterator[Terminal]:
    """idle: seconds between calls without anything to answer."""
    found = Terminal(answer, idle=idle)
    try:
        yield found
    finally:
        found.close()
