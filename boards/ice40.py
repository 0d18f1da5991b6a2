"""What an iCE40 UltraPlus has of its own: a clock generator, and large memories."""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal

from ..rtl.memory.one_port import Words

SPRAM_WORDS, SPRAM_BITS = 1 << 14, 16
RESET_SECONDS = 15e-6  # after configuration its block memories read as zero for some 3 us, as Amaranth's own platform says


class Ice40UpPlatform:
    """Its large memories, which have no first content, so Yosys does not take them."""

    def get_words(self, words: Words) -> Module:
        """In place of a memory of up to 16,384 words, any number of bytes of which is written."""
        m = Module()
        access = words.access
        nibbles = [bit for byte in access.mask for bit in (byte, byte)]
        for i in range(0, len(access.word), SPRAM_BITS):
            half = slice(i, i + SPRAM_BITS)
            m.submodules[f"block{i}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(),
                i_ADDRESS=access.place,
                i_CHIPSELECT=words.enable,
                i_WREN=access.mask.any(),
                i_MASKWREN=Cat(nibbles[i // 4 : (i + SPRAM_BITS) // 4]),
                i_DATAIN=access.word[half],
                o_DATAOUT=words.found[half],
                i_STANDBY=Const(0),
                i_SLEEP=Const(0),
                i_POWEROFF=Const(1),
            )
        return m


def pll(pin: Any, clk: Signal, locked: Signal, *, multiplier: int, divider_bits: int) -> Instance:
    """clk: of the pin's 10 to 17 MHz, times ``multiplier``, divided by 2 ** divider_bits; before the division 533 to 1,066 MHz."""
    return Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE",
        p_DIVR=Const(0, 4),
        p_DIVF=Const(multiplier - 1, 7),
        p_DIVQ=Const(divider_bits, 3),
        p_FILTER_RANGE=Const(1, 3),
        i_PACKAGEPIN=pin.io,
        i_RESETB=Const(1),
        i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=clk,
        o_LOCK=locked,
    )
