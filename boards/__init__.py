"""Boards: what is on them, and the circuits that fill their FPGAs."""

from collections.abc import Mapping

from .board import Board
from .open_board import OpenBoard
from .ulx3s import ULX3S_25F, ULX3S_85F

OPEN_BOARDS: Mapping[str, OpenBoard] = {board.name: board for board in (ULX3S_85F, ULX3S_25F)}
BOARDS: Mapping[str, Board] = {**OPEN_BOARDS}

__all__ = ["BOARDS", "OPEN_BOARDS", "Board"]
