"""What the sequencer and every engine agree on."""

from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.record import Record
from .arch.registers import ErrorCode
from .layouts import record_layout

ERROR_SHAPE = range(max(ErrorCode) + 1)


class EnginePort(wiring.Signature):
    """As seen by the sequencer: one command at a time.

    ``done`` is high for one cycle when the command is complete and its results are visible to every other engine; an engine
    completes each command it took, whatever went wrong. ``error`` is the ErrorCode of what went wrong in this cycle, else zero.
    """

    def __init__(self, command: Record) -> None:
        self.command_record = command
        super().__init__(
            {
                "command": Out(stream.Signature(record_layout(command))),
                "done": In(1),
                "error": In(ERROR_SHAPE),
            }
        )
