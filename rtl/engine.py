"""What the sequencer and every engine agree on."""

from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.record import Record
from .arch.registers import ErrorCode
from .layouts import record_layout

ERROR_SHAPE = range(max(ErrorCode) + 1)
IN_FLIGHT = 2  # commands that an engine has at most


class EnginePort(wiring.Signature):
    """As seen by the sequencer. An engine takes a command when it is ready: the next one perhaps before the last is complete.

    ``done`` is high for one cycle when the oldest command is complete and its results are visible to every other engine; an engine
    completes each command it took, whatever went wrong. ``error`` is the ErrorCode of what went wrong with the newest command in this
    cycle, else zero.
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
