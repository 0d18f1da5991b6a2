"""What the sequencer and every engine agree on."""

from collections.abc import Callable, Iterable

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.registers import ErrorCode
from .arch.steps import WAIT_BITS, Engine, taken_commands
from .arch.workers import engine_numbers
from .layouts import record_layout

ERROR_SHAPE = range(max(ErrorCode) + 1)
IN_FLIGHT = 2  # commands that an engine has at most
# For how long a command must have been at an engine's port before it is valid, if at all: it is checked as it waits for other steps.
CHECK_CYCLES = {Engine.COMPUTE: 2, Engine.VECTOR: 1}


def command_layout(engine: Engine, parameters: MachineParameters) -> data.StructLayout:
    """Of a command as the machine's engine takes it."""
    return record_layout(taken_commands(parameters)[engine])


def complete_layout(parameters: MachineParameters) -> data.ArrayLayout:
    """For each engine up to the last that the machine has a number of steps."""
    return data.ArrayLayout(WAIT_BITS, len(engine_numbers(parameters)))


class EnginePort(wiring.Signature):
    """As seen by the sequencer. An engine takes a command when it is ready: the next one perhaps before the last is complete.

    ``done`` is high for one cycle when the oldest command is complete and its results are visible to every other engine; an engine
    completes each command it took, whatever went wrong. ``error`` is the ErrorCode of what went wrong with the newest command in this
    cycle, else zero. ``complete``: how many steps of this run each engine has completed. ``begun`` is high for one cycle when work on the
    newest command begins, which may be some time after it was taken: at the latest in the cycle of its ``done``.
    """

    def __init__(self, engine: Engine, parameters: MachineParameters) -> None:
        super().__init__(
            {
                "command": Out(stream.Signature(command_layout(engine, parameters))),
                "complete": Out(complete_layout(parameters)),
                "begun": In(1),
                "done": In(1),
                "error": In(ERROR_SHAPE),
            }
        )


def satisfied(complete: data.View, waits: Iterable[Value]) -> Value:
    """For each engine whether it has completed as many steps as it is waited for, modulo 2**WAIT_BITS. ``waits`` of engines that the
    machine doesn't have, which come last, are left out."""
    return Cat(~(number - wait)[WAIT_BITS - 1] for number, wait in zip(complete, waits, strict=False))


def newest_of(m: Module, taken: Value) -> Signal:
    """The bit that names the newest of the commands that were ``taken``: 1 for the first, 0 for the second and so on."""
    newest = Signal()
    with m.If(taken):
        m.d.sync += newest.eq(~newest)
    return newest


def of_last_two(m: Module, taken: Value, command: data.View, names: Iterable[str]) -> tuple[Signal, Callable[[Value], data.View]]:
    """Keep the fields ``names`` of each command as it is ``taken``, until the second command after it: a bit that names the newest
    command, 1 for the first, 0 for the second and so on; and what gives the fields of the command of a bit."""
    layout = data.StructLayout({name: command.shape()[name].shape for name in names})
    kept = [Signal(layout.size, name=f"of_command_{bit}", reset_less=True) for bit in range(2)]
    newest = newest_of(m, taken)
    with m.If(taken):
        for bit, its in enumerate(kept):
            with m.If(newest != bit):
                m.d.sync += its.eq(Cat(command[name] for name in layout.members))
    return newest, lambda bit: data.View(layout, Mux(bit, kept[1], kept[0]))
