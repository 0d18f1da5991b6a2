"""What passes between the parts of the SDRAM controller, and to the chip."""

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..arch.sdram import Command, Sdram


class SdramPins(wiring.Signature):
    """A chip's pins, as seen by the controller. dq: the data bus, whose ``o`` is driven while ``oe``."""

    def __init__(self, chip: Sdram) -> None:
        controls = dict.fromkeys(("ras_n", "cas_n", "we_n", "cs_n"), Out(1, init=1))
        bus = wiring.Signature({"o": Out(chip.data_bits), "i": In(chip.data_bits), "oe": Out(1)})
        address = {"a": Out(chip.address_bits), "ba": Out(exact_log2(chip.banks))}
        super().__init__({**address, **controls, "cke": Out(1), "dqm": Out(chip.data_bytes), "dq": Out(bus)})


def place_layout(chip: Sdram, bus_bytes: int) -> data.StructLayout:
    """What the bits of a beat's place mean, from the lowest one on: rows that follow each other are in different banks."""
    words = bus_bytes // chip.data_bytes
    return data.StructLayout({"column": chip.column_bits - exact_log2(words), "bank": exact_log2(chip.banks), "row": chip.row_bits})


def command_layout(chip: Sdram) -> data.StructLayout:
    """A command with all that goes to the pins beside it. drive: the data bus carries ``word``."""
    return data.StructLayout(
        {
            **{"command": Command, "a": chip.address_bits, "ba": exact_log2(chip.banks), "dqm": chip.data_bytes},
            **{"word": chip.data_bits, "drive": 1},
        }
    )


def asked_layout(id_bits: int) -> data.StructLayout:
    """A word that comes some cycles later. valid: there is one. ends: it is the last one of its beat, whose answer has the rest. outside:
    it does not come from the chip."""
    return data.StructLayout({"valid": 1, "ends": 1, "outside": 1, "last": 1, "id": id_bits})
