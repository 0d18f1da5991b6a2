"""An SDRAM chip on a board: the registers in its pads."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In

from ..rtl.arch.sdram import Sdram
from ..rtl.memory.sdram_layouts import SdramPins


class SdramPads(wiring.Component):
    """Everything but the chip's clock, which is to come a quarter of a period behind sync's.

    So the chip sees pins that changed a quarter before and stay for three more. Its word is there an access time later (6 ns at CAS latency
    3), and until its next clock edge and 2.5 ns more. At 50 MHz, with d ns from FPGA to chip and back, the register in the pad takes it in
    the middle of 5 + d + 6 to 25 + d + 2.5 ns, at 20 ns, where d is at most 9.

    Members
    -------
    chip: the controller's pins, with `capture` cycles more than without pads: there and back are registers.

    port: the board's resource, of amaranth-boards' names.
    """

    capture = 1

    def __init__(self, chip: Sdram, port: Any) -> None:
        self._port = port
        super().__init__({"chip": In(SdramPins(chip))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, port = self.chip, self._port
        outputs = {
            **{"clk_en": chip.cke, "cs": ~chip.cs_n, "ras": ~chip.ras_n, "cas": ~chip.cas_n, "we": ~chip.we_n},
            **{"ba": chip.ba, "a": chip.a, "dqm": chip.dqm},
        }
        for name, value in outputs.items():
            m.submodules[name] = pad = io.FFBuffer("o", getattr(port, name))
            m.d.comb += pad.o.eq(value)
        m.submodules.dq = dq = io.FFBuffer("io", port.dq)
        m.d.comb += [dq.o.eq(chip.dq.o), dq.oe.eq(chip.dq.oe), chip.dq.i.eq(dq.i)]
        return m
