"""The scratchpad's memories: banks, of one read and one write port each, behind two crossbars, where an arbiter per bank decides between
the ports that reach it, and the loser waits; and the links, each for two ports alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, ResetInserter, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .arbiter import Holding, LeastRecent
from .arch.links import ANY_PROGRAM, Connections
from .arch.parameters import MachineParameters
from .arch.steps import COUNT_BITS
from .delay import delay
from .link import LinkMemory
from .select import select_one_hot
from .word_memory import WordMemory

Groups = Sequence[Sequence[int]]  # of ports, by their numbers
Grants = Mapping[int, Value]  # for each port that may be granted a bank, whether it is
READ_LATENCY = 1 + WordMemory.latency  # cycles from the one in which a read is granted to its word


def place_layout(parameters: MachineParameters, connections: Connections, port: str) -> data.StructLayout:
    """Of a word that a port asks for. bank, link: one bit for each that it reaches; nowhere: it asks for a word that is in none of these.
    Of all these bits one is set, or none while nothing is asked."""
    links = connections.links_of(port)
    words = parameters.bank_words, *(connections.links[number].words for number in links)
    banks = len(connections.banks_of(port, parameters))
    return data.StructLayout({"bank": banks, "link": len(links), "nowhere": 1, "offset": max(map(ceil_log2, words))})


class BankRead(wiring.Signature):
    """As seen by who asks: for ``place`` until it is ``granted``; the word is there READ_LATENCY cycles later, with ``valid``. frees,
    absent: for a link (rtl/link.py)."""

    def __init__(self, place: data.StructLayout, word_bytes: int) -> None:
        ask = {"place": Out(place), "frees": Out(COUNT_BITS), "absent": Out(1), "granted": In(1)}
        super().__init__({**ask, "word": In(8 * word_bytes), "valid": In(1)})


class BankWrite(wiring.Signature):
    """As seen by who asks: for ``place``, where ``word`` goes as far as ``mask`` enables its bytes, until it is ``granted``. last: for a
    link."""

    def __init__(self, place: data.StructLayout, word_bytes: int) -> None:
        word = {"word": Out(8 * word_bytes), "mask": Out(word_bytes), "last": Out(1)}
        super().__init__({"place": Out(place), **word, "granted": In(1)})


class _Port(NamedTuple):
    """A port, and the numbers of what it reaches, in the order of the bits of its place."""

    port: Any
    banks: Sequence[int]
    links: Sequence[int]

    def asks(self, bank: int) -> Value:
        return self.port.place.bank[self.banks.index(bank)]

    def elsewhere(self, bank: int) -> Value:
        """Whether it asks for another bank, or a link."""
        place = self.port.place
        return (place.bank & ~(1 << self.banks.index(bank))).any() | place.link.any()


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Of a scratchpad.

    readers, writers: their names, by which the connections say what they reach. read_groups, write_groups: ports that walk parts of the
    same matrices, such groups of them. One that uses a bank holds it against the others of its group until it goes on to the next bank:
    so they soon follow each other through the banks, and none waits any more.
    """

    readers: Sequence[str]
    writers: Sequence[str]
    connections: Connections = ANY_PROGRAM
    read_groups: Groups = ()
    write_groups: Groups = ()


class Banks(wiring.Component):
    """Ports ``read0``, ... and ``write0``, ...; what is granted first is done first.

    empties: links are empty in the next cycle. A word that is nowhere is read as zero, and not written.
    """

    def __init__(self, parameters: MachineParameters, ports: Ports) -> None:
        self._p, self._ports = parameters, ports
        reads, writes = ([place_layout(parameters, ports.connections, name) for name in names] for names in (ports.readers, ports.writers))
        super().__init__(
            {
                **{f"read{i}": In(BankRead(place, parameters.word_bytes)) for i, place in enumerate(reads)},
                **{f"write{i}": In(BankWrite(place, parameters.word_bytes)) for i, place in enumerate(writes)},
                "empties": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, ports, connections = self._p, self._ports, self._ports.connections
        reads, writes = (
            [_Port(getattr(self, f"{kind}{i}"), connections.banks_of(name, p), connections.links_of(name)) for i, name in enumerate(names)]
            for kind, names in (("read", ports.readers), ("write", ports.writers))
        )
        links = [LinkMemory(words=link.words, word_bytes=p.word_bytes) for link in connections.links]
        for number, link in enumerate(links):
            m.submodules[f"link{number}"] = ResetInserter(self.empties)(link)
        read_grants = [self._grant(m, "read", bank, reads, ports.read_groups) for bank in range(p.banks)]
        write_grants = [self._grant(m, "write", bank, writes, ports.write_groups) for bank in range(p.banks)]
        words = self._banks(m, reads, writes, read_grants, write_grants)
        for j, (port, banks, numbers) in enumerate(reads):
            place = port.place
            for bit, number in enumerate(numbers):
                link = links[number]
                m.d.comb += [
                    *(link.read_asked.eq(place.link[bit]), link.read_position.eq(place.offset)),
                    *(link.read_frees.eq(port.frees), link.read_absent.eq(port.absent)),
                ]
            source = delay(m, Cat(place.bank, place.link), READ_LATENCY)
            granted = [*(read_grants[i][j] for i in banks), *(links[n].read_granted for n in numbers), place.nowhere]
            m.d.comb += [
                port.granted.eq(Cat(granted).any()),
                port.valid.eq(delay(m, port.granted, READ_LATENCY, reset_less=False)),
                port.word.eq(select_one_hot(source, [*(words[i] for i in banks), *(links[n].read_word for n in numbers)])),
            ]
        for j, (port, banks, numbers) in enumerate(writes):
            place = port.place
            for bit, number in enumerate(numbers):
                link = links[number]
                m.d.comb += [
                    *(link.write_asked.eq(place.link[bit]), link.write_position.eq(place.offset)),
                    *(link.write_word.eq(port.word), link.write_mask.eq(port.mask), link.write_last.eq(port.last)),
                ]
            granted = [*(write_grants[i][j] for i in banks), *(links[n].write_granted for n in numbers), place.nowhere]
            m.d.comb += port.granted.eq(Cat(granted).any())
        return m

    def _banks(
        self, m: Module, reads: Sequence[_Port], writes: Sequence[_Port], read_grants: Sequence[Grants], write_grants: Sequence[Grants]
    ) -> list[Value]:
        """The banks that are both read and written; gives the word of each, zero of the others."""
        p, words = self._p, []
        # A bank is asked a cycle after it was granted, since to grant is a long way; reads and writes alike, so that their order stays.
        asked = [delay(m, port.place.offset, 1) for port, _, _ in reads]
        given = [[delay(m, value, 1) for value in (port.place.offset, port.word, port.mask)] for port, _, _ in writes]
        for i, (reading, writing) in enumerate(zip(read_grants, write_grants, strict=True)):
            if not (reading and writing):
                words.append(Const(0, 8 * p.word_bytes))
                continue
            m.submodules[f"bank{i}"] = bank = WordMemory(words=p.bank_words, word_bytes=p.word_bytes)
            words.append(bank.word)
            read, write = (delay(m, Cat(grants.values()), 1, reset_less=False) for grants in (reading, writing))
            places, values, masks = (select_one_hot(write, field) for field in zip(*(given[j] for j in writing), strict=True))
            m.d.comb += [
                bank.read_address.eq(select_one_hot(read, [asked[j] for j in reading])),
                *(bank.write_address.eq(places), bank.write_word.eq(values), bank.mask.eq(masks)),
            ]
        return words

    def _grant(self, m: Module, kind: str, bank: int, ports: Sequence[_Port], groups: Groups) -> Grants:
        """Grant the bank to one of the ports that ask for it."""
        reach = [j for j, port in enumerate(ports) if bank in port.banks]
        alone = [[j] for j in reach if not any(j in group for group in groups)]
        turns = [*alone, *filter(None, ([j for j in group if j in reach] for group in groups))]
        requests = Signal(len(turns), name=f"{kind}_requests{bank}")
        taken: Value = requests
        if len(turns) > 1:
            m.submodules[f"{kind}_arbiter{bank}"] = arbiter = LeastRecent(len(turns))
            m.d.comb += arbiter.requests.eq(requests)
            taken = arbiter.grant
        grants = {j: Signal(name=f"{kind}_grant{bank}_{j}") for j in reach}
        for turn, members in enumerate(turns):
            asks = Cat(ports[j].asks(bank) for j in members)
            if len(members) > 1:
                m.submodules[f"{kind}_group{turn}_{bank}"] = among = Holding(len(members))
                m.d.comb += [
                    *(among.requests.eq(asks), among.taken.eq(taken[turn])),
                    among.elsewhere.eq(Cat(ports[j].elsewhere(bank) for j in members)),
                ]
                asks = among.grant
            m.d.comb += requests[turn].eq(asks.any())
            m.d.comb += [grants[j].eq(ask & taken[turn]) for j, ask in zip(members, asks, strict=True)]
        return grants
