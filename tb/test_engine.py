"""An engine leaves scratchpad and memory as the machine's golden model does, whatever disturbs it."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import AxiBus, AxiRam, AxiReadBus, AxiRamRead, AxiRamWrite, AxiWriteBus

from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.steps import COMMANDS, Engine, Step
from ..sw.golden.machine import Machine
from .commands import CASES
from .engine_bench import MEMORY_BASE, MEMORY_BYTES
from .runner import parameters

LIMIT = 20_000  # cycles of a command
