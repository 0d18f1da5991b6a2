"""The ECP5's clock generator."""

from dataclasses import dataclass

from amaranth.hdl import Const, Instance, Signal

OSCILLATOR = range(400_000_000, 800_000_001)  # Hz, in which its own one can be
INPUT_DIVIDERS, MULTIPLIERS, DIVIDERS = range(1, 9), range(1, 81), range(4, 129, 4)  # the last ones have quarters


@dataclass(frozen=True, kw_only=True)
class Pll:
    """clock: that comes out, Hz. The dividers are those of EHXPLLL with its feedback from CLKOP."""

    clock: int
    input_divider: int
    multiplier: int
    divider: int

    def instance(self, clk_in: Signal, clk: Signal, late: Signal, locked: Signal) -> Instance:
        """late: the clock a quarter of a period later."""
        return Instance(
            "EHXPLLL",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            p_CLKI_DIV=self.input_divider,
            p_CLKFB_DIV=self.multiplier,
            p_CLKOP_DIV=self.divider,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_CPHASE=self.divider - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_DIV=self.divider,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_CPHASE=self.divider - 1 + self.divider // 4,
            p_CLKOS_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_PLLRST_ENA="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            i_CLKI=clk_in,
            i_CLKFB=clk,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=clk,
            o_CLKOS=late,
            o_LOCK=locked,
        )


def pll_for(clock_in: int, clock: int) -> Pll:
    """The one whose clock is nearest to ``clock``, both in Hz. Raises ValueError where none is within 1 %."""
    found = [
        Pll(clock=clock_in * multiplier // input_divider, input_divider=input_divider, multiplier=multiplier, divider=divider)
        for input_divider in INPUT_DIVIDERS
        for multiplier in MULTIPLIERS
        for divider in DIVIDERS
        if clock_in * multiplier * divider // input_divider in OSCILLATOR
    ]
    best = min(found, key=lambda pll: (abs(pll.clock - clock), pll.input_divider, pll.divider))
    if abs(best.clock - clock) > clock // 100:
        raise ValueError(f"no clock within 1 % of {clock} Hz can be made of {clock_in} Hz")
    return best
