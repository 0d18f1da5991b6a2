"""ULX3S: an ECP5 with a USB serial port and 32 MiB of SDRAM."""

from typing import Any

from amaranth.build import Platform
from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.io import DDRBuffer
from amaranth_boards import ulx3s

from ..gen.platforms import Ecp5Platform
from ..rtl.arch.sdram import ULX3S
from .bitstream import ECP5
from .open_board import NetworkBoard
from .pins import buffered
from .pll import pll_for
from .sdram_pads import SdramPads

OSCILLATOR = 25_000_000  # Hz


class Ulx3s85F(Ecp5Platform, ulx3s.ULX3S_85F_Platform):
    """With an LFE5U-85F."""


class Ulx3s25F(Ecp5Platform, ulx3s.ULX3S_25F_Platform):
    """With an LFE5U-25F."""


class Ulx3s(Elaboratable):
    """A circuit on the board: its line is the FTDI chip's, button F1 resets it, lights 0 to 3 are its lights, the SDRAM is its chip if it
    has one."""

    def __init__(self, circuit: Any, clock: int) -> None:
        self._circuit, self._pll = circuit, pll_for(OSCILLATOR, clock)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.circuit = circuit = self._circuit
        m.domains.sync = ClockDomain()
        clk, late, locked = Signal(name="clk"), Signal(name="late"), Signal(name="locked")

        uart = platform.request("uart", dir="-")
        clk25, button = (buffered(m, "i", platform.request(name, dir="-")) for name in ("clk25", "button_fire"))
        m.submodules.pll = self._pll.instance(clk25.i, clk, late, locked)
        m.submodules.reset = ResetSynchronizer(~locked | button.i)
        m.d.comb += [ClockSignal().eq(clk), circuit.rx.eq(buffered(m, "i", uart.rx).i), buffered(m, "o", uart.tx).o.eq(circuit.tx)]
        m.d.comb += [buffered(m, "o", platform.request("led", i, dir="-")).o.eq(light) for i, light in enumerate(circuit.lights)]
        # Where it is low, the ESP32 may load another bitstream.
        m.d.comb += buffered(m, "o", platform.request("esp32", dir="-").gpio0).o.eq(1)
        if "chip" in circuit.signature.members:
            port = platform.request("sdram", dir="-")
            m.submodules.sdram_pads = pads = SdramPads(ULX3S, port)
            wiring.connect(m, circuit.chip, pads.chip)
            m.domains.late = ClockDomain(reset_less=True)
            clock: Any = DDRBuffer("o", port.clk, o_domain="late")
            m.submodules.sdram_clock = clock
            m.d.comb += [ClockSignal("late").eq(late), clock.o[0].eq(1)]
        return m


def _board(name: str, platform: type[Platform], size: str, *, block_kib: int) -> NetworkBoard:
    options = f"--{size}k", "--package", "CABGA381", "--speed", "6"
    return NetworkBoard(
        name=name,
        fpga=f"LFE5U-{size}F",
        platform=platform,
        top=Ulx3s,
        tools=ECP5,
        device=options,
        clock=50_000_000,
        block_bytes=1024 * block_kib,
        chip=ULX3S,
    )


ULX3S_85F = _board("ulx3s-85f", Ulx3s85F, "85", block_kib=192)
ULX3S_25F = _board("ulx3s-25f", Ulx3s25F, "25", block_kib=48)
