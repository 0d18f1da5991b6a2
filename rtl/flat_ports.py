"""Flat ports, as AXI has them, of two components."""

from collections.abc import Mapping

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In


def connect_ports(
    m: Module, ports: Mapping[str, wiring.Member], outside: wiring.Component, inside: wiring.Component, *, outer: str = "", inner: str = ""
) -> None:
    """Connect those of a component to those of the one that it is in, or a slave's to its master's. ports: by their names without these
    prefixes, as ``inside`` has them; an interface is one of the component that it is in too."""
    for name, member in ports.items():
        one, other = getattr(inside, inner + name), getattr(outside, outer + name)
        if member.is_signature:
            wiring.connect(m, wiring.flipped(other), one)
        else:
            m.d.comb += one.eq(other) if member.flow is In else other.eq(one)
