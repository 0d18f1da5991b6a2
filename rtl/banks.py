"""The scratchpad's banks, of one read and one write port each, behind two crossbars: an arbiter per bank decides between those that
ask for it, and the loser waits."""

from collections.abc import Iterable, Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .arbiter import Holding, LeastRecent
from .arch.parameters import MachineParameters
from .delay import delay
from .select import select_one_hot

Groups = Sequence[Sequence[int]]  # of ports, by their numbers
READ_LATENCY = 3  # cycles from the one in which a read is granted to its word: a memory's takes most of one of them


def place_layout(parameters: MachineParameters) -> data.StructLayout:
    """Of a word that is asked for. bank: one bit for each, none while nothing is asked. inside: there is such a word."""
    return data.StructLayout({"bank": parameters.banks, "offset": ceil_log2(parameters.bank_words), "inside": 1})


class BankRead(wiring.Signature):
    """As seen by who asks: for ``place`` until it is ``granted``; the word is there READ_LATENCY cycles later, with ``valid``."""

    def __init__(self, parameters: MachineParameters) -> None:
        word = 8 * parameters.word_bytes
        super().__init__({"place": Out(place_layout(parameters)), "granted": In(1), "word": In(word), "valid": In(1)})


class BankWrite(wiring.Signature):
    """As seen by who asks: for ``place``, where ``word`` goes as far as ``mask`` enables its bytes, until it is ``granted``."""

    def __init__(self, parameters: MachineParameters) -> None:
        size = parameters.word_bytes
        super().__init__({"place": Out(place_layout(parameters)), "word": Out(8 * size), "mask": Out(size), "granted": In(1)})


class Banks(wiring.Component):
    """Any number of ports ``read0``, ... and ``write0``, ...; what is granted first is done first.

    read_groups, write_groups: ports that walk parts of the same matrices, such groups of them. One that uses a bank holds it against the
    others of its group until it goes on to the next bank: so they soon follow each other through the banks, and none waits any more.
    A word outside is read as zero, and not written.
    """

    def __init__(
        self, parameters: MachineParameters, *, readers: int, writers: int, read_groups: Groups = (), write_groups: Groups = ()
    ) -> None:
        self._p, self._read_groups, self._write_groups = parameters, read_groups, write_groups
        self._readers, self._writers = readers, writers
        super().__init__(
            {
                **{f"read{i}": In(BankRead(parameters)) for i in range(readers)},
                **{f"write{i}": In(BankWrite(parameters)) for i in range(writers)},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        reads = [getattr(self, f"read{i}") for i in range(self._readers)]
        writes = [getattr(self, f"write{i}") for i in range(self._writers)]
        # A bank is asked a cycle after it was granted, since to grant is a long way; reads and writes alike, so that their order stays.
        read_grants = self._granted(m, "read", reads, self._read_groups)
        write_grants = self._granted(m, "write", writes, self._write_groups)
        asked = _later(m, (port.place.offset for port in reads))
        given = [_later(m, (port.place.offset, port.word, Mux(port.place.inside, port.mask, 0))) for port in writes]
        words = []
        for i in range(p.banks):
            m.submodules[f"bank{i}"] = bank = memory.Memory(shape=data.ArrayLayout(8, p.word_bytes), depth=p.bank_words, init=[])
            read, write = bank.read_port(), bank.write_port(granularity=1)
            words.append(delay(m, Cat(*(read.data[b] for b in range(p.word_bytes))), 1))
            places, values, masks = (select_one_hot(write_grants[i], field) for field in zip(*given, strict=True))
            m.d.comb += [
                read.addr.eq(select_one_hot(read_grants[i], asked)),
                *(write.addr.eq(places), Cat(*(write.data[b] for b in range(p.word_bytes))).eq(values), write.en.eq(masks)),
            ]
        for port in reads:
            source = delay(m, Mux(port.place.inside, port.place.bank, 0), READ_LATENCY)
            m.d.comb += [
                port.valid.eq(delay(m, port.granted, READ_LATENCY, reset_less=False)),
                port.word.eq(select_one_hot(source, words)),
            ]
        return m

    def _granted(self, m: Module, kind: str, ports: Sequence[wiring.PureInterface], groups: Groups) -> list[Value]:
        """Grant each bank to one port; gives for each bank a bit for each port, a cycle later."""
        single = [j for j in range(len(ports)) if not any(j in group for group in groups)]
        grants = []
        for i in range(self._p.banks):
            m.submodules[f"{kind}_arbiter{i}"] = arbiter = LeastRecent(len(single) + len(groups))
            grant = Signal(len(ports), name=f"{kind}_grant{i}")
            grants.append(grant)
            for turn, j in enumerate(single):
                m.d.comb += [arbiter.requests[turn].eq(ports[j].place.bank[i]), grant[j].eq(arbiter.grant[turn])]
            for turn, group in enumerate(groups, len(single)):
                m.submodules[f"{kind}_group{turn}_{i}"] = among = Holding(len(group))
                asked = [ports[j].place.bank for j in group]
                m.d.comb += [
                    among.requests.eq(Cat(banks[i] for banks in asked)),
                    among.elsewhere.eq(Cat((banks & ~(1 << i)).any() for banks in asked)),
                    arbiter.requests[turn].eq(among.grant.any()),
                    among.taken.eq(arbiter.grant[turn]),
                    *(grant[j].eq(among.grant[k] & among.taken) for k, j in enumerate(group)),
                ]
        m.d.comb += [port.granted.eq(Cat(grant[j] for grant in grants).any()) for j, port in enumerate(ports)]
        return [delay(m, grant, 1, reset_less=False) for grant in grants]


def _later(m: Module, values: Iterable[Value]) -> list[Value]:
    return [delay(m, value, 1) for value in values]
