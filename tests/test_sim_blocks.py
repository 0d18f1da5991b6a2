"""Each block alone, against its golden model and the rules of streams."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from celosia.rtl.access import AddressGenerator
from celosia.rtl.add import Add
from celosia.rtl.arch.blocks import LaneParameters, RowParameters
from celosia.rtl.arch.steps import COUNT_BITS
from celosia.rtl.elements import Packer, Unpacker
from celosia.rtl.gelu import Gelu
from celosia.rtl.layernorm import LayerNorm
from celosia.rtl.softmax import Softmax
from celosia.tb.paths import stream_path_faults
from celosia.tb.runner import run_bench


@pytest.mark.parametrize("lanes", [1, 3, 8])
@pytest.mark.parametrize("block", [Add, Gelu])
def test_elementwise(block: type[Add | Gelu], lanes: int) -> None:
    component = block(LaneParameters(lanes=lanes))
    assert stream_path_faults(component) == []
    run_bench(component, f"celosia.tb.test_{block.__name__.lower()}", {"lanes": lanes})


@pytest.mark.parametrize(("lanes", "row_elements"), [(1, 16), (3, 64), (8, 64)])
@pytest.mark.parametrize("block", [Softmax, LayerNorm])
def test_rowwise(block: type[Softmax | LayerNorm], lanes: int, row_elements: int) -> None:
    component = block(RowParameters(lanes=lanes, row_elements=row_elements))
    assert stream_path_faults(component) == []
    run_bench(component, f"celosia.tb.test_{block.__name__.lower()}", {"lanes": lanes, "row_elements": row_elements})


class Repack(wiring.Component):
    """Words to beats to words, started by the reset."""

    def __init__(self, word_bytes: int, lanes: int) -> None:
        self._word_bytes, self._lanes = word_bytes, lanes
        words = stream.Signature(8 * word_bytes)
        super().__init__({"cols": In(COUNT_BITS), "wide_in": In(1), "wide_out": In(1), "i": In(words), "o": Out(words)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unpacker = unpacker = Unpacker(self._word_bytes, self._lanes)
        m.submodules.packer = packer = Packer(self._word_bytes, self._lanes)
        started = Signal()
        m.d.sync += started.eq(1)
        m.d.comb += [
            unpacker.start.eq(~started),
            unpacker.cols.eq(self.cols),
            unpacker.wide.eq(self.wide_in),
            packer.wide.eq(self.wide_out),
            unpacker.words.payload.eq(self.i.payload),
            unpacker.words.valid.eq(self.i.valid & started),
            self.i.ready.eq(unpacker.words.ready & started),
        ]
        connect(m, unpacker.beats, packer.beats)
        connect(m, flipped(self.o), packer.words)
        return m


@pytest.mark.parametrize(("word_bytes", "lanes"), [(4, 1), (12, 3), (16, 8)])
def test_repack(word_bytes: int, lanes: int) -> None:
    run_bench(Repack(word_bytes, lanes), "celosia.tb.test_repack", {"word_bytes": word_bytes, "lanes": lanes})


@pytest.mark.parametrize("steps", [(1, 1), (1, 12, 3)])
def test_addresses(steps: tuple[int, ...]) -> None:
    component = AddressGenerator(steps)
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_addresses", {"steps": steps})
