"""Boards: what is on them, and the circuits that fill their FPGAs."""

from collections.abc import Mapping

from .board import Board
from .open_board import OpenBoard
from .ulx3s import ULX3S_25F, ULX3S_85F
from .vivado.arty_a7 import ARTY_A7_35T, ARTY_A7_100T
from .vivado.board import VivadoBoard
from .vivado.zynq import PYNQ_Z2, ULTRA96_V2

OPEN_BOARDS: Mapping[str, OpenBoard] = {board.name: board for board in (ULX3S_85F, ULX3S_25F)}
VIVADO_BOARDS: Mapping[str, VivadoBoard] = {board.name: board for board in (ARTY_A7_35T, ARTY_A7_100T, PYNQ_Z2, ULTRA96_V2)}
BOARDS: Mapping[str, Board] = {**OPEN_BOARDS, **VIVADO_BOARDS}

__all__ = ["BOARDS", "OPEN_BOARDS", "VIVADO_BOARDS", "Board"]
