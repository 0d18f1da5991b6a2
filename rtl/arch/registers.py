"""The register maps of AXI4-Lite slaves: 32-bit registers, defined once, used by hardware, driver, SystemRDL and C header.

REGISTERS is the machine's; `block_registers` makes those of the blocks that are useful alone.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .blocks import BlockError
from .record import Record
from .steps import Engine

IDENTITY = int.from_bytes(b"CELO", "big")


class Access(enum.Enum):
    READ = "r"  # hardware writes, the driver reads
    WRITE = "rw"  # the driver writes and reads back
    TRIGGER = "w1"  # writing 1 acts once; reads 0
    CLEAR = "w1c"  # hardware sets bits, which stay until the driver writes 1 to them


class ErrorCode(enum.IntEnum):
    """What stopped the machine; 0 when nothing did."""

    NONE = 0
    ILLEGAL_STEP = 1  # unknown engine or operation, a reserved bit, a dimension of zero or beyond the machine's
    SCRATCHPAD_ADDRESS = 2  # an address beyond the scratchpad
    EXTERNAL_ADDRESS = 3  # an address beyond memory_size
    BUS_READ = 4  # an AXI error response to a read
    BUS_WRITE = 5  # an AXI error response to a write
    WATCHDOG = 6  # no step completed within the watchdog's cycles
    MACRO_FAILED = 7  # the PIM controller refused a macro, or its DRAM gave no data: see pim_error


@dataclass(frozen=True)
class BitField:
    name: str
    low: int
    bits: int
    text: str


@dataclass(frozen=True)
class Register:
    """``offset`` in bytes. Without fields the register is one 32-bit value."""

    name: str
    offset: int
    access: Access
    text: str
    fields: tuple[BitField, ...] = ()

    @property
    def bits(self) -> int:
        """From the lowest one to the last that is in use."""
        return max((field.low + field.bits for field in self.fields), default=32)


def _engine_counters(name: str, offset: int, text: str) -> tuple[Register, ...]:
    return tuple(
        Register(f"{e.name.lower()}_{name}", offset + 4 * e, Access.READ, f"{text} of the {e.name.lower()} engine") for e in Engine
    )


def first_registers(
    letters: str, *, start: str, reset: str, running: str, error: str, status: tuple[BitField, ...] = ()
) -> tuple[Register, ...]:
    """Those that all devices which are started and end have: what they are, what is done, what it came to. letters: of the identity.
    status: fields beside these."""
    return (
        Register("identity", 0x00, Access.READ, f"The letters {letters}"),
        Register(
            "version",
            0x04,
            Access.READ,
            "Format version",
            (BitField("minor", 0, 16, "Minor"), BitField("major", 16, 16, "Major")),
        ),
        Register("hash_low", 0x08, Access.READ, "Configuration hash, bits 31..0"),
        Register("hash_high", 0x0C, Access.READ, "Configuration hash, bits 63..32"),
        Register(
            "control",
            0x10,
            Access.TRIGGER,
            "Actions",
            (BitField("start", 0, 1, start), BitField("reset", 1, 1, reset), BitField("acknowledge", 2, 1, "Clear the interrupt")),
        ),
        Register(
            "status",
            0x14,
            Access.READ,
            "State",
            (
                *(BitField("running", 0, 1, running), BitField("done", 1, 1, "The last run ended without error")),
                *(BitField("error", 2, 1, error), *status),
            ),
        ),
    )


REGISTERS: tuple[Register, ...] = (
    *first_registers(
        "CELO",
        start="Run program_count steps from program_first; ignored while running",
        reset="Stop all engines, forget the error; outstanding bus transfers are drained",
        running="Steps are being run",
        error="The last run was stopped: see error",
        status=(
            BitField("draining", 3, 1, "Bus transfers from before a reset are outstanding"),
            BitField("busy", 8, 6, "One bit for each engine"),
        ),
    ),
    Register(
        "error",
        0x18,
        Access.READ,
        "Why the machine stopped",
        (BitField("code", 0, 8, "ErrorCode"), BitField("engine", 8, 8, "Engine, 255 for the sequencer")),
    ),
    Register("error_step", 0x1C, Access.READ, "Index in the program of the step that failed"),
    Register(
        "interrupt_enable",
        0x20,
        Access.WRITE,
        "1: raise irq at the end of a run",
        (BitField("enable", 0, 1, "Enable"),),
    ),
    Register("program_base", 0x24, Access.WRITE, "Byte address of the program in memory; unused with a ROM"),
    Register("program_first", 0x28, Access.WRITE, "Index of the first step to run"),
    Register("program_count", 0x2C, Access.WRITE, "Number of steps to run, at least 1"),
    Register("memory_base", 0x30, Access.WRITE, "Byte address of the buffer in memory"),
    Register("memory_size", 0x34, Access.WRITE, "Bytes of the buffer; accesses beyond it are errors"),
    Register("watchdog", 0x38, Access.WRITE, "Cycles without a completed step after which the run is stopped; 0: never"),
    Register(
        "pim_error",
        0x3C,
        Access.READ,
        "What was wrong with a PIM macro",
        (BitField("code", 0, 8, "PimError"), BitField("channel", 8, 8, "Whose DRAM gave no data")),
    ),
    Register("cycles", 0x40, Access.READ, "Cycles of the last or current run"),
    Register("steps_completed", 0x44, Access.READ, "Steps completed in the last or current run"),
    Register("mac_cycles", 0x48, Access.READ, "Cycles in which the compute unit's array did useful work"),
    Register("tap_conflicts", 0x4C, Access.READ, "Cycles in which taps of the deform engine waited for a bank of its line buffer"),
    *_engine_counters("busy", 0x50, "Cycles of work on a step"),
    *_engine_counters("conflicts", 0x70, "Cycles lost to scratchpad conflicts"),
)

OFFSETS = {register.name: register.offset for register in REGISTERS}
ERROR_ENGINE_SEQUENCER = 255

_BLOCK_ERRORS = {
    BlockError.EMPTY: "A packet without elements, or with gaps between them, was dropped",
    BlockError.LONG: "A packet longer than row_elements was dropped",
    BlockError.PARAMETER: "A packet was dropped because a scale was zero, or had fewer elements than were asked for",
}


def block_identity(name: str) -> int:
    """What the register ``identity`` of a block holds: the first four letters of its name."""
    return int.from_bytes(name.upper().ljust(4)[:4].encode(), "big")


def block_registers(name: str, record: Record | None, *, controls: Sequence[str], errors: bool) -> tuple[Register, ...]:
    """The registers of a block: none if it has neither run-time parameters nor controls nor errors.

    record: its run-time parameters. A field of more than 32 bits takes two registers, ``_low`` and ``_high``. controls: its inputs of
    one bit. errors: whether it drops packets.
    """
    if not (record or controls or errors):
        return ()
    flags = tuple(BitField(str(e.name).lower(), e.bit_length() - 1, 1, text) for e, text in _BLOCK_ERRORS.items())
    head = (
        Register("identity", 0x00, Access.READ, f"The letters {name.upper().ljust(4)[:4]}"),
        Register("version", 0x04, Access.READ, "Format version", (BitField("minor", 0, 16, "Minor"), BitField("major", 16, 16, "Major"))),
        *([Register("errors", 0x08, Access.CLEAR, "Why packets were dropped; write 1 to clear", flags)] if errors else []),
    )
    values = [(control, 1, f"Input {control} of the block, as long as it is 1") for control in controls] + list(
        _parameter_words(record) if record else []
    )
    written = tuple(
        Register(word, 0x10 + 4 * i, Access.WRITE, text, (BitField("value", 0, bits, text),)) for i, (word, bits, text) in enumerate(values)
    )
    return head + written


def _parameter_words(record: Record) -> Iterator[tuple[str, int, str]]:
    """Name, bits and meaning of the registers of each field."""
    for field in record.fields:
        text = f"Run-time parameter {field.name}{', signed' if field.signed else ''}"
        if field.bits <= 32:
            yield field.name, field.bits, text
        else:
            yield f"{field.name}_low", 32, f"{text}, bits 31..0"
            yield f"{field.name}_high", field.bits - 32, f"{text}, bits {field.bits - 1}..32"
