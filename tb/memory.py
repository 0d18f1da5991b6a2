"""Memories with their AXI4 ports as streams, for benches; and one behind a shared bus."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..rtl.axi import SLAVE, slave_ports, write_beat_layout
from ..rtl.flat_ports import connect_ports
from ..rtl.memory.beats import burst_layout
from ..rtl.memory.share import Share
from ..rtl.memory.slave import answer_layout

MASTER_ID_BITS = 1
RESPONSE = data.StructLayout({"resp": 2, "id": MASTER_ID_BITS})
# Fields of the streams' payloads whose names are not those of the channel.
_NAMES = {"address": "addr"}


def channels(bus_bytes: int) -> dict[str, Any]:
    """Layouts of the payloads of the streams of one master, by the names of its channels."""
    return {
        **{channel: burst_layout(MASTER_ID_BITS) for channel in ("ar", "aw")},
        **{"w": write_beat_layout(bus_bytes), "r": answer_layout(bus_bytes, MASTER_ID_BITS), "b": RESPONSE},
    }


class Shared(wiring.Component):
    """A memory behind Share: ``s<i>_axi_*``, and its other ports."""

    def __init__(self, memory: wiring.Component, bus_bytes: int, *, masters: int) -> None:
        self._memory, self._share = memory, Share(bus_bytes, masters=masters)
        self._bus_bytes = bus_bytes
        self._sides = {n: member for n, member in self._share.signature.members.items() if not n.startswith("m_axi_")}
        super().__init__({**self._sides, **_other_ports(memory)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory, m.submodules.share = memory, share = self._memory, self._share
        connect_ports(m, slave_ports(self._bus_bytes, ""), share, memory, outer="m_axi_", inner=SLAVE)
        connect_ports(m, self._sides, self, share)
        connect_ports(m, _other_ports(memory), self, memory)
        return m


class AsStreams(wiring.Component):
    """A component whose AXI4 slaves with the prefixes become streams: ``<prefix>ar`` and so on, with the payloads of `channels`."""

    def __init__(self, component: wiring.Component, bus_bytes: int, prefixes: tuple[str, ...] = (SLAVE,)) -> None:
        self._component, self._prefixes = component, prefixes
        self._channels = channels(bus_bytes)
        streams = {
            f"{prefix}{channel}": (Out if channel in "rb" else In)(stream.Signature(layout))
            for prefix in prefixes
            for channel, layout in self._channels.items()
        }
        super().__init__({**streams, **_other_ports(component)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inside = inside = self._component
        for prefix in self._prefixes:
            for channel, layout in self._channels.items():
                port, side = getattr(self, f"{prefix}{channel}"), f"{prefix}{channel}"
                pairs = [(port.payload[name], getattr(inside, side + _NAMES.get(str(name), str(name)))) for name, _ in layout]
                pairs.append((port.valid, getattr(inside, f"{side}valid")))
                ready = getattr(inside, f"{side}ready")
                if channel in "rb":
                    m.d.comb += [*(outer.eq(inner) for outer, inner in pairs), ready.eq(port.ready)]
                else:
                    m.d.comb += [*(inner.eq(outer) for outer, inner in pairs), port.ready.eq(ready)]
        connect_ports(m, _other_ports(inside), self, inside)
        return m


def _other_ports(component: wiring.Component) -> dict[str, Any]:
    return {name: member for name, member in component.signature.members.items() if "_axi_" not in name}
