"""Boards: what is on them, and the circuits that fill their FPGAs."""

from collections.abc import Mapping

from .board import Board
from .icebreaker import ICEBREAKER
from .open_board import NetworkBoard, OpenBoard
from .ulx3s import ULX3S_25F, ULX3S_85F
from .vivado.arty_a7 import ARTY_A7_35T, ARTY_A7_100T
from .vivado.board import VivadoBoard
from .vivado.zynq import PYNQ_Z2, ULTRA96_V2

NETWORK_BOARDS: Mapping[str, NetworkBoard] = {board.name: board for board in (ULX3S_85F, ULX3S_25F)}
OPEN_BOARDS: Mapping[str, OpenBoard] = {**NETWORK_BOARDS, ICEBREAKER.name: ICEBREAKER}  # for single blocks
VIVADO_BOARDS: Mapping[str, VivadoBoard] = {board.name: board for board in (ARTY_A7_35T, ARTY_A7_100T, PYNQ_Z2, ULTRA96_V2)}
BOARDS: Mapping[str, Board] = {**NETWORK_BOARDS, **VIVADO_BOARDS}  # for networks

__all__ = ["BOARDS", "NETWORK_BOARDS", "OPEN_BOARDS", "VIVADO_BOARDS", "Board"]
