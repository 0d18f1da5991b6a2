"""The scratchpad: banks of one read and one write port behind two crossbars.

The high address bits choose the bank, so that the compiler can place tensors where concurrent engines don't collide; where
they do, an arbiter per bank decides and the loser waits. Several compute units, or several ports of one, read the same tensor: for them
the lowest bits choose a bank too.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from amaranth.hdl import Array, Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .arbiter import Holding, LeastRecent
from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS
from .delay import delay
from .select import select_one_hot

Groups = Sequence[Sequence[int]]  # of ports, by their numbers
READ_LATENCY = 3  # cycles from an address taken to its word: a memory's takes most of one of them


class ReadPort(wiring.Signature):
    """As seen by the reader: words come back in order, READ_LATENCY cycles after their address was taken, and cannot wait."""

    def __init__(self, word_bytes: int) -> None:
        self.word_bytes = word_bytes
        super().__init__({"address": Out(stream.Signature(ADDRESS_BITS)), "word": In(8 * word_bytes), "valid": In(1)})


class WritePort(wiring.Signature):
    """As seen by the writer: a word is in the scratchpad once it was taken. ``mask`` enables its bytes."""

    def __init__(self, word_bytes: int) -> None:
        self.word_bytes = word_bytes
        super().__init__({"write": Out(stream.Signature(write_layout(word_bytes)))})


def port_names(component: wiring.Component, kind: type[wiring.Signature]) -> Iterator[str]:
    """Of the component's ports of a kind."""
    return (name for name, member in component.signature.members.items() if member.is_signature and isinstance(member.signature, kind))


def write_layout(word_bytes: int) -> data.StructLayout:
    return data.StructLayout({"address": ADDRESS_BITS, "word": 8 * word_bytes, "mask": word_bytes})


class Scratchpad(wiring.Component):
    """``banks * bank_words`` words of ``word_bytes`` bytes, with any number of ports.

    read_groups, write_groups: ports that walk parts of the same matrices, such groups of them. One that uses a bank holds it against the
    others of its group until it goes on to the next bank: so they soon follow each other through the banks, and none waits any more.

    Members
    -------
    read<i>, write<i>: ports, as seen from the outside.
    read_conflict, write_conflict: one bit for each port, high in a cycle in which it had to wait.
    out_of_range: one bit for each port (readers first), high while it asks for an address beyond the scratchpad: such a read gives zero,
        such a write is dropped.
    """

    def __init__(
        self, parameters: MachineParameters, *, readers: int, writers: int, read_groups: Groups = (), write_groups: Groups = ()
    ) -> None:
        self._p, self._read_groups, self._write_groups = parameters, read_groups, write_groups
        self._readers, self._writers = readers, writers
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
        p = self._p
        granularity = data.ArrayLayout(8, p.word_bytes)
        banks = [memory.Memory(shape=granularity, depth=p.bank_words, init=[]) for _ in range(p.banks)]
        for i, bank in enumerate(banks):
            m.submodules[f"bank{i}"] = bank

        reads = [getattr(self, f"read{i}") for i in range(self._readers)]
        writes = [getattr(self, f"write{i}") for i in range(self._writers)]
        read_requests = [(r.address.valid, r.address.payload, r.address.ready) for r in reads]
        write_requests = [(w.write.valid, w.write.payload.address, w.write.ready) for w in writes]
        read_grants = self._arbitrate(m, "read", read_requests, 0, self._read_groups)
        write_grants = self._arbitrate(m, "write", write_requests, self._readers, self._write_groups)

        asked = [_place(p, port.address.payload).offset for port in reads]
        written = [w.write.payload for w in writes]
        outside = self.out_of_range[self._readers :]
        given = [(_place(p, w.address).offset, w.word, Mux(beyond, 0, w.mask)) for w, beyond in zip(written, outside, strict=True)]
        words = []
        for i, bank in enumerate(banks):
            read, write = bank.read_port(), bank.write_port(granularity=1)
            words.append(delay(m, Cat(*(read.data[b] for b in range(p.word_bytes))), 1))
            places, values, masks = (select_one_hot(write_grants[i], field) for field in zip(*given, strict=True))
            m.d.comb += [
                read.addr.eq(select_one_hot(read_grants[i], asked)),
                *(write.addr.eq(places), Cat(*(write.data[b] for b in range(p.word_bytes))).eq(values), write.en.eq(masks)),
            ]
        for j, port in enumerate(reads):
            taken = Signal(name=f"read{j}_taken")
            inside = Signal(name=f"read{j}_inside")
            source = Signal(Shape(ceil_log2(p.banks)), name=f"read{j}_bank")
            m.d.comb += [
                taken.eq(delay(m, port.address.valid & port.address.ready, READ_LATENCY - 1, reset_less=False)),
                inside.eq(delay(m, ~self.out_of_range[j], READ_LATENCY - 1)),
                source.eq(delay(m, _place(p, port.address.payload).bank, READ_LATENCY - 1)),
            ]
            m.d.sync += [port.valid.eq(taken), port.word.eq(Array(words)[source] if p.banks > 1 else words[0])]
            with m.If(~inside):
                m.d.sync += port.word.eq(0)
        return m

    def _arbitrate(self, m: Module, kind: str, requests: list[tuple], first: int, groups: Groups) -> list[Signal]:
        """Grant each bank to one request. One outside of the scratchpad is reported, and waits for the bank that its low bits choose:
        where an address lies is known later than that."""
        p = self._p
        single = [j for j in range(len(requests)) if not any(j in group for group in groups)]
        grants = []
        for i in range(p.banks):
            m.submodules[f"{kind}_arbiter{i}"] = arbiter = LeastRecent(len(single) + len(groups))
            grant, asked = (Signal(len(requests), name=f"{kind}_{what}{i}") for what in ("grant", "asked"))
            grants.append(grant)
            m.d.comb += asked.eq(Cat(valid & (_place(p, address).bank == i) for valid, address, _ in requests))
            for turn, j in enumerate(single):
                m.d.comb += [arbiter.requests[turn].eq(asked[j]), grant[j].eq(arbiter.grant[turn])]
            for turn, group in enumerate(groups, len(single)):
                m.submodules[f"{kind}_group{turn}_{i}"] = among = Holding(len(group))
                m.d.comb += [
                    among.requests.eq(Cat(asked[j] for j in group)),
                    among.elsewhere.eq(Cat(requests[j][0] & ~asked[j] for j in group)),
                    arbiter.requests[turn].eq(among.grant.any()),
                    among.taken.eq(arbiter.grant[turn]),
                    *(grant[j].eq(among.grant[k] & among.taken) for k, j in enumerate(group)),
                ]
        conflict = getattr(self, f"{kind}_conflict")
        for j, (valid, address, ready) in enumerate(requests):
            m.d.comb += [
                self.out_of_range[first + j].eq(valid & (_place(p, address).beyond != 0)),
                ready.eq(Cat(grant[j] for grant in grants).any()),
                conflict[j].eq(valid & ~ready),
            ]
        return grants


class _Place(NamedTuple):
    """Where an address lies. beyond: its bits that no bank has."""

    offset: Value
    bank: Value
    beyond: Value


def _place(p: MachineParameters, address: Value) -> _Place:
    """A word's region, the word of the region's banks, and which of these: from the highest bits to the lowest."""
    low, offset_bits, bank_bits = ceil_log2(p.interleaved), ceil_log2(p.bank_words), ceil_log2(p.banks)
    above = address[low + offset_bits :]
    return _Place(address[low:][:offset_bits], Cat(address[:low], above[: bank_bits - low]), above[bank_bits - low :])
