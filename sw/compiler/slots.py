"""Scratchpad words in external memory."""

from ...rtl.arch.parameters import MachineParameters


def to_slots(data: bytes, parameters: MachineParameters) -> bytes:
    """Scratchpad words as they lie in external memory: each in a slot of whole bus beats."""
    word, slot = parameters.word_bytes, parameters.slot_bytes
    if word == slot:
        return data
    return b"".join(data[i : i + word].ljust(slot, b"\0") for i in range(0, len(data), word))


def from_slots(data: bytes, parameters: MachineParameters) -> bytes:
    """The other way."""
    word, slot = parameters.word_bytes, parameters.slot_bytes
    return b"".join(data[i : i + word] for i in range(0, len(data), slot))
