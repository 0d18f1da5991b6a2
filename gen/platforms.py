"""What Amaranth makes of a device's own blocks, when it is the platform."""

from collections.abc import Mapping
from pathlib import Path

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Signal, Value

from ..rtl.arch.checks import require
from ..rtl.arch.parameters import MachineParameters

_TEMPLATES = Path(__file__).with_name("templates")


class Ecp5Platform:
    """Lattice ECP5: its multiplier blocks with their registers. Yosys infers the blocks, but leaves the registers beside them, with long
    ways between.

    multiplier_bits: of a block's wider operand. library: Verilog of ``module``, a block.
    """

    multiplier_bits = 18
    module = "ecp5_multiplier"
    library = _TEMPLATES.joinpath(f"{module}.v").read_text()

    def get_multiplier(self, a: Signal, b: Signal, product: Signal, *, load: Value, enable: Value) -> Instance:
        """``product = a * b`` two cycles with ``enable`` later, of at most 18 bits each; b is taken in cycles with ``load``."""
        signs = {f"p_{name}_SIGNED": int(operand.shape().signed) for name, operand in (("A", a), ("B", b))}
        return Instance(
            self.module,
            **signs,
            i_clk=ClockSignal(),
            i_load=load,
            i_enable=enable,
            i_a=_extended(a, 18),
            i_b=_extended(b, 18),
            o_p=_filled(product, 36),
        )


class UltraScalePlatform:
    """Xilinx UltraScale+: its multiplier blocks with their registers, and the adders in them, of which Yosys infers neither.

    multiplier_bits: of a block's wider operand. library: Verilog of ``module``, one block or two.
    """

    multiplier_bits = 27
    module = "ultrascale_multiplier"
    library = _TEMPLATES.joinpath(f"{module}.v").read_text()

    def get_multiplier(self, a: Signal, b: Signal, product: Signal, *, load: Value, enable: Value) -> Instance:
        """``product = a * b`` two cycles with ``enable`` later, of at most 18 and 27 bits with their sign; b is taken in cycles with
        ``load``."""
        return self._instance(a, b, Const(0), Const(0), product, load=load, enable=enable, p_SUM=0)

    def get_product_sum(
        self, a0: Signal, b0: Signal, a1: Signal, b1: Signal, total: Signal, *, shift: int, load: Value, enable: Value
    ) -> Instance:
        """``total = a0 * b0 + (a1 * b1 << shift)`` three cycles with ``enable`` later, shift 0 or 17, operands as for one product."""
        return self._instance(a0, b0, a1, b1, total, load=load, enable=enable, p_SUM=1, p_SHIFT=shift)

    def _instance(
        self, a0: Value, b0: Value, a1: Value, b1: Value, result: Signal, *, load: Value, enable: Value, **parameters: int
    ) -> Instance:
        lefts, rights = {"i_a0": a0, "i_a1": a1}, {"i_b0": b0, "i_b1": b1}
        return Instance(
            self.module,
            **parameters,
            i_clk=ClockSignal(),
            i_load=load,
            i_enable=enable,
            **{name: _extended(value, 18) for name, value in lefts.items()},
            **{name: _extended(value, 27) for name, value in rights.items()},
            o_p=_filled(result, 65),
        )


Platform = Ecp5Platform | UltraScalePlatform


def _extended(operand: Value, width: int) -> Value:
    sign = operand[-1] & operand.shape().signed
    return Cat(operand, sign.replicate(width - len(operand)))


def _filled(result: Signal, width: int) -> Value:
    """As wide as a block's output, of which the result is the low part."""
    return Cat(result, Signal(width - len(result), name="beyond"))


PLATFORMS: Mapping[str, Platform] = {"ecp5": Ecp5Platform(), "ultrascale": UltraScalePlatform()}


def check_family(fpga: str | None, parameters: object) -> None:
    """Raise ParameterError where the parameters of a machine or a block ask for wider multipliers than ``fpga``, one of PLATFORMS, has."""
    if fpga is not None and isinstance(parameters, MachineParameters):
        most = PLATFORMS[fpga].multiplier_bits
        require(parameters.multiplier_bits <= most, "multiplier_bits", f"at most {most} for {fpga}", parameters.multiplier_bits)
