"""iCEBreaker: an iCE40UP5K with a USB serial port."""

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, Signal
from amaranth.lib.cdc import ResetSynchronizer
from amaranth_boards.icebreaker import ICEBreakerPlatform

from .bitstream import ICE40
from .ice40 import RESET_SECONDS, Ice40UpPlatform, pll
from .open_board import OpenBoard, Pins
from .pins import buffered

CLOCK = 24_000_000  # Hz, of 12 MHz: 3 Mbaud need it


class IceBreakerPlatform(Ice40UpPlatform, ICEBreakerPlatform):
    """With the large memories of its iCE40UP5K."""


class IceBreaker(Elaboratable):
    """A circuit on the board: its line is the FTDI chip's, the button beside the FPGA resets it, red and green light are lights 2 and 1."""

    def __init__(self, circuit: Pins, clock: int) -> None:
        self._circuit, self._clock = circuit, clock

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.circuit = circuit = self._circuit
        m.domains.sync = ClockDomain()
        m.domains.start = ClockDomain(reset_less=True, local=True)

        clk, locked = Signal(name="clk"), Signal(name="locked")
        m.submodules.pll = pll(platform.request("clk12", dir="-"), clk, locked, multiplier=64, divider_bits=5)
        platform.add_clock_constraint(clk, self._clock)
        uart = platform.request("uart", dir="-")
        button, red, green = (
            buffered(m, direction, platform.request(name, dir="-")) for direction, name in (("i", "button"), ("o", "led_r"), ("o", "led_g"))
        )

        cycles = round(RESET_SECONDS * self._clock)
        count = Signal(range(cycles + 1))
        m.d.start += count.eq(count + (count != cycles))
        m.submodules.reset = ResetSynchronizer(~locked | (count != cycles) | button.i)
        m.d.comb += [
            *(ClockSignal().eq(clk), ClockSignal("start").eq(clk)),
            *(circuit.rx.eq(buffered(m, "i", uart.rx).i), buffered(m, "o", uart.tx).o.eq(circuit.tx)),
            *(green.o.eq(circuit.lights[1]), red.o.eq(circuit.lights[2])),
        ]
        return m


ICEBREAKER = OpenBoard(
    name="icebreaker",
    fpga="iCE40UP5K",
    platform=IceBreakerPlatform,
    top=IceBreaker,
    tools=ICE40,
    device=("--up5k", "--package", "sg48"),
    clock=CLOCK,
)
