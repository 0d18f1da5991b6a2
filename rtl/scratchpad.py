"""The scratchpad: banks, and the ports through which engines use them.

The high address bits choose the bank, so that the compiler can place tensors where concurrent engines don't collide; where
they do, one waits. Several compute units, or several ports of one, read the same tensor: for them the lowest bits choose a bank too.
"""

from collections.abc import Iterator

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COUNT_BITS
from .banks import Banks, Groups, place_layout
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
    read<i>, write<i>: ports, as seen from the outside. Groups of them are those of the banks (rtl/banks.py).
    read_conflict, write_conflict: one bit for each port, high in a cycle in which its request had to wait.
    out_of_range: one bit for each port (readers first), high as it asks for an address beyond the scratchpad: such a read gives zero,
        such a write is dropped.
    """

    def __init__(
        self, parameters: MachineParameters, *, readers: int, writers: int, read_groups: Groups = (), write_groups: Groups = ()
    ) -> None:
        self._p, self._readers, self._writers = parameters, readers, writers
        self._banks = Banks(parameters, readers=readers, writers=writers, read_groups=read_groups, write_groups=write_groups)
        word = parameters.word_bytes
        super().__init__(
            {
                **{f"read{i}": In(ReadPort(word)) for i in range(readers)},
                **{f"write{i}": In(WritePort(word)) for i in range(writers)},
                "read_conflict": Out(readers),
                "write_conflict": Out(writers),
                "out_of_range": Out(readers + writers),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.banks = banks = self._banks
        place, reads = place_layout(self._p), self._readers
        # A request is reset with its register, since a bank that is left over in it would be asked.
        for i in range(reads):
            port, bank = getattr(self, f"read{i}"), getattr(banks, f"read{i}")
            m.submodules[f"read_request{i}"] = request = Skid(place, reset_less=False)
            m.d.comb += [
                self.out_of_range[i].eq(self._ask(m, port.address, port.address.payload.address, request.i, request.i.payload)),
                *(bank.place.eq(request.o.payload), request.o.ready.eq(bank.granted)),
                *(port.word.eq(bank.word), port.valid.eq(bank.valid)),
                self.read_conflict[i].eq(request.o.valid & ~bank.granted),
            ]
        for i in range(self._writers):
            port, bank = getattr(self, f"write{i}"), getattr(banks, f"write{i}")
            asked = port.write.payload
            layout = data.StructLayout({"place": place, **{name: asked.shape()[name].shape for name in ("word", "mask", "last")}})
            m.submodules[f"write_request{i}"] = request = Skid(layout, reset_less=False)
            waiting = request.o.payload
            m.d.comb += [
                self.out_of_range[reads + i].eq(self._ask(m, port.write, asked.address, request.i, request.i.payload.place)),
                *(request.i.payload[name].eq(asked[name]) for name in ("word", "mask", "last")),
                *(getattr(bank, name).eq(waiting[name]) for name in ("place", "word", "mask")),
                request.o.ready.eq(bank.granted),
                port.written.eq(delay(m, Mux(bank.granted, waiting.last, 0), 1, reset_less=False)),
                self.write_conflict[i].eq(request.o.valid & ~bank.granted),
            ]
        return m

    def _ask(self, m: Module, port: stream.Interface, address: Value, request: stream.Interface, place: data.View) -> Value:
        """Keep what the port asks for as a request, with its place; gives whether that is out of range. There it waits for the bank that
        the low bits choose."""
        p = self._p
        low, offset_bits, bank_bits = ceil_log2(p.interleaved), ceil_log2(p.bank_words), ceil_log2(p.banks)
        # From the highest bits to the lowest: what no bank has, a region, a word of each of its banks, one of these.
        above = address[low + offset_bits :]
        bank, beyond = Cat(address[:low], above[: bank_bits - low]), above[bank_bits - low :]
        m.d.comb += [
            *(request.valid.eq(port.valid), port.ready.eq(request.ready)),
            place.bank.eq(Cat(port.valid & (bank == i) for i in range(p.banks))),
            place.offset.eq(address[low:][:offset_bits]),
            place.inside.eq(beyond == 0),
        ]
        return port.valid & port.ready & (beyond != 0)
