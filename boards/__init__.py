"""Boards: what is on them, and the circuits that fill their FPGAs."""

from collections.abc import Mapping

from .bitstream import BITSTREAM
from .board import Board
from .ulx3s import ULX3S_25F, ULX3S_85F

BOARDS: Mapping[str, Board] = {board.name: board for board in (ULX3S_85F, ULX3S_25F)}

__all__ = ["BITSTREAM", "BOARDS", "Board"]
