"""Proof of the activation block for any rows, any stalls and resets: `nox -s formal`.

The table is the identity, so that a result can be told from its input alone.
"""

from pathlib import Path

import pytest
from amaranth.hdl import Assume, Elaboratable, Module
from celosia.rtl.activation import Activation
from celosia.rtl.arch.activation import ActivationCircuit
from celosia.rtl.arch.formats import INT8
from celosia.tb.formal import Proof, ProofError
from celosia.tb.properties import Holds, Passes

IDENTITY = range(INT8.min, INT8.max + 1)
CIRCUIT = ActivationCircuit(lanes=1, source=INT8, out=INT8)
CAPACITY = 3  # one before the table; two in the skid register, behind it


class Filled(Elaboratable):
    """Each beat has its element."""

    def __init__(self, block: Activation) -> None:
        self._block = block

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += Assume(self._block.i.payload.keep[0])
        return m


def prove(folder: Path, block: Activation) -> None:
    passes = Passes(block.i, block.o, capacity=CAPACITY, drains=CAPACITY)
    Proof(block).check(folder, Holds(block.i, assume=True), Filled(block), Holds(block.o), passes)


def test_identity(tmp_path: Path) -> None:
    prove(tmp_path, Activation(CIRCUIT, IDENTITY))


def test_one_wrong_entry_is_refuted(tmp_path: Path) -> None:
    entries = [*IDENTITY]
    entries[17] ^= 1
    with pytest.raises(ProofError, match="fails: another payload leaves than entered"):
        prove(tmp_path, Activation(CIRCUIT, entries))
