"""The scratchpad: banks and links, and the ports through which engines use them.

The high address bits choose the bank, so that the compiler can place tensors where concurrent engines don't collide; where
they do, one waits. Several compute units, or several ports of one, read the same tensor: for them the lowest bits choose a bank too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .arch.links import LINK_ADDRESS, OFFSET_BITS, link_address
from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COUNT_BITS
from .banks import Banks, Ports, place_layout
from .delay import delay
from .skid import Skid

LAST = data.StructLayout({"of_step": 1, "of_tile": 1})  # what a written word is the last one of
# frees: words that become free as this one is read. absent: there is no such word, and whatever comes for it will do.
ASKED = data.StructLayout({"address": ADDRESS_BITS, "frees": COUNT_BITS, "absent": 1})


class ReadPort(wiring.Signature):
    """As seen by the reader: words come back in the order of their addresses, and cannot wait."""

    def __init__(self, word_bytes: int) -> None:
        self.word_bytes = word_bytes
        super().__init__({"address": Out(stream.Signature(ASKED)), "word": In(8 * word_bytes), "valid": In(1)})


class WritePort(wiring.Signature):
    """As seen by the writer. ``mask`` enables the bytes of a word. ``written``: the ``last`` of the word that gets into the scratchpad in
    this cycle, zero without one; from then on it is read."""

    def __init__(self, word_bytes: int) -> None:
        self.word_bytes = word_bytes
        super().__init__({"write": Out(stream.Signature(write_layout(word_bytes))), "written": In(LAST)})


def port_names(component: wiring.Component, kind: type[wiring.Signature]) -> Iterator[str]:
    """Of the component's ports of a kind."""
    return (name for name, member in component.signature.members.items() if member.is_signature and isinstance(member.signature, kind))


def write_layout(word_bytes: int) -> data.StructLayout:
    return data.StructLayout({"address": ADDRESS_BITS, "word": 8 * word_bytes, "mask": word_bytes, "last": LAST})


class Scratchpad(wiring.Component):
    """``banks * bank_words`` words of ``word_bytes`` bytes, with any number of ports. A request waits in a register: its ready, and what
    hangs on it, is no long way behind the arbiters.

    Members
    -------
    read<i>, write<i>: ports, as seen from the outside. ``empties`` is that of the banks (rtl/banks.py).
    read_conflict, write_conflict: one bit for each port, high in a cycle in which its request had to wait for a bank.
    out_of_range: one bit for each port (readers first), high as it asks for an address of nothing that it reaches: such a read gives
        zero, such a write is dropped.
    """

    def __init__(self, parameters: MachineParameters, ports: Ports) -> None:
        self._p, self._ports, self._banks = parameters, ports, Banks(parameters, ports)
        readers, writers = len(ports.readers), len(ports.writers)
        word = parameters.word_bytes
        super().__init__(
            {
                **{f"read{i}": In(ReadPort(word)) for i in range(readers)},
                **{f"write{i}": In(WritePort(word)) for i in range(writers)},
                "empties": In(1),
                "read_conflict": Out(readers),
                "write_conflict": Out(writers),
                "out_of_range": Out(readers + writers),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.banks = banks = self._banks
        m.d.comb += banks.empties.eq(self.empties)
        for i, name in enumerate(self._ports.readers):
            port, bank = getattr(self, f"read{i}"), getattr(banks, f"read{i}")
            m.submodules[f"read_request{i}"] = request = self._request(m, name, port.address, bank, ("frees", "absent"))
            waiting, outside = request.o.payload, _enters_nowhere(request) & ~port.address.payload.absent
            m.d.comb += [
                *(bank.frees.eq(waiting.frees), bank.absent.eq(waiting.absent)),
                *(port.word.eq(bank.word), port.valid.eq(bank.valid)),
                *(self.read_conflict[i].eq(bank.place.bank.any() & ~bank.granted), self.out_of_range[i].eq(outside)),
            ]
        for i, name in enumerate(self._ports.writers):
            port, bank = getattr(self, f"write{i}"), getattr(banks, f"write{i}")
            m.submodules[f"write_request{i}"] = request = self._request(m, name, port.write, bank, ("word", "mask", "last"))
            waiting = request.o.payload
            m.d.comb += [
                *(bank.word.eq(waiting.word), bank.mask.eq(waiting.mask), bank.last.eq(waiting.last.of_step)),
                port.written.eq(delay(m, Mux(bank.granted, waiting.last, 0), 1, reset_less=False)),
                self.write_conflict[i].eq(bank.place.bank.any() & ~bank.granted),
                self.out_of_range[len(self._ports.readers) + i].eq(_enters_nowhere(request)),
            ]
        return m

    def _request(self, m: Module, name: str, port: stream.Interface, bank: Any, fields: Sequence[str]) -> Skid:
        """The register in which what the port ``name`` asks for waits until it is granted: its place, and these fields of its payload."""
        p, connections, asked, address = self._p, self._ports.connections, port.payload, port.payload.address
        place = Signal(place_layout(p, connections, name), name=f"{name.replace('.', '_')}_place")
        low, offset_bits, bank_bits = ceil_log2(p.interleaved), ceil_log2(p.bank_words), ceil_log2(p.banks)
        # From the highest bits to the lowest: what no bank has, a region, a word of each of its banks, one of these.
        above = address[low + offset_bits :]
        number, beyond = Cat(address[:low], above[: bank_bits - low]), above[bank_bits - low :]
        banks, links = connections.banks_of(name, p), connections.links_of(name)
        in_bank = Cat((beyond == 0) & (number == i) for i in banks)
        in_link = Cat(address[OFFSET_BITS:] == link_address(i) >> OFFSET_BITS for i in links)
        layout = data.StructLayout({"place": place.shape(), **{field: asked.shape()[field].shape for field in fields}})
        request = Skid(layout, reset_less=False)  # since a bank that is left over in it would be asked
        m.d.comb += [
            *(place.bank.eq(Mux(port.valid, in_bank, 0)), place.link.eq(Mux(port.valid, in_link, 0))),
            place.nowhere.eq(port.valid & ~Cat(in_bank, in_link).any()),
            place.offset.eq(Mux(address >= LINK_ADDRESS, address, address[low:]) if links else address[low:]),
            *(request.i.valid.eq(port.valid), port.ready.eq(request.i.ready)),
            *(request.i.payload.place.eq(place), bank.place.eq(request.o.payload.place)),
            *(request.i.payload[field].eq(asked[field]) for field in fields),
            request.o.ready.eq(bank.granted),
        ]
        return request


def _enters_nowhere(request: Skid) -> Value:
    return request.i.valid & request.i.ready & request.i.payload.place.nowhere
