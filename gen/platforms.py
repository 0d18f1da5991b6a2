"""What Amaranth makes of a device's own blocks, when it is the platform."""

from collections.abc import Mapping
from pathlib import Path

from amaranth.hdl import Cat, ClockSignal, Instance, Signal, Value

_OPERAND_BITS = 18


class Ecp5Platform:
    """Lattice ECP5: its multiplier blocks with their registers. Yosys infers the blocks, but leaves the registers beside them, with long
    ways between.

    library: Verilog of ``module``, a block.
    """

    module = "ecp5_multiplier"
    library = Path(__file__).with_name("templates").joinpath(f"{module}.v").read_text()

    def get_multiplier(self, a: Signal, b: Signal, product: Signal, *, load: Value) -> Instance:
        """``product = a * b`` two cycles later, of at most 18 bits each; b is taken in cycles with ``load``."""
        signs = {f"p_{name}_SIGNED": int(operand.shape().signed) for name, operand in (("A", a), ("B", b))}
        return Instance(
            self.module,
            **signs,
            i_clk=ClockSignal(),
            i_load=load,
            i_a=_extended(a),
            i_b=_extended(b),
            o_p=Cat(product, Signal(2 * _OPERAND_BITS - len(product), name="beyond")),
        )


def _extended(operand: Signal) -> Value:
    sign = operand[-1] & operand.shape().signed
    return Cat(operand, sign.replicate(_OPERAND_BITS - len(operand)))


PLATFORMS: Mapping[str, Ecp5Platform] = {"ecp5": Ecp5Platform()}
