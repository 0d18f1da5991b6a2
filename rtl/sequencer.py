"""The sequencer: hands each step to its worker's queue, and starts it when the steps that it waits for are complete.

Workers run their steps in program order and side by side; of several units of an engine a step names the one that does it. After an error
nothing new starts; the workers that have taken steps complete them, then everything but the error is reset.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.registers import ERROR_ENGINE_SEQUENCER, ErrorCode
from .arch.steps import FLAG_BITS, FLAGS, HEADER, STEP_BITS, WAITS, Engine, taken_commands
from .arch.workers import engine_numbers, engines, workers
from .delay import delay
from .engine import CHECK_CYCLES, ERROR_SHAPE, IN_FLIGHT, EnginePort, complete_layout, satisfied
from .layouts import record_layout
from .program import STEP_INDEX_BITS
from .streams import Queue


class Sequencer(wiring.Component):
    """Members
    -------
    start, count: begin a run of ``count`` steps. steps: the program. fetch_error: a step could not be read.
    <name>: of each of the `workers`. flags: where the machine has pruning. scratchpad_error: one bit for each worker, an address out of
        range in the cycle before; scratchpad_older: not of the newest step but of the one before it.
    reset: the driver's. core_reset: high for `reset_cycles` to reset queues at once, and all else as it is passed on.
    activity: for each worker whether work on a step begins in this cycle, then for each whether a step ends. at_work: on a step of which
        engines work is under way; busy: which have taken one.
    running, done, failed, busy: for the status register. error_code, error_engine, error_step: the first error of the run.
    ended: high for one cycle at the end of a run. completed: steps completed in this run. watchdog: cycles, 0 for never.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        self._commands = taken_commands(parameters)
        everyone = workers(parameters)
        super().__init__(
            {
                "start": In(1),
                "count": In(STEP_INDEX_BITS),
                "first": In(STEP_INDEX_BITS),
                "watchdog": In(32),
                "reset": In(1),
                "steps": In(stream.Signature(STEP_BITS)),
                "fetch_error": In(1),
                **{worker.name: Out(EnginePort(worker.engine, parameters)) for worker in everyone},
                **({"flags": In(FLAGS)} if parameters.pruning else {}),
                "scratchpad_error": In(len(everyone)),
                "scratchpad_older": In(len(everyone)),
                "core_reset": Out(1),
                "running": Out(1),
                "done": Out(1),
                "failed": Out(1),
                "busy": Out(len(engine_numbers(parameters))),
                "at_work": Out(len(engine_numbers(parameters))),
                "activity": Out(2 * len(everyone)),
                "ended": Out(1),
                "completed": Out(STEP_INDEX_BITS),
                "error_code": Out(ERROR_SHAPE),
                "error_engine": Out(8),
                "error_step": Out(STEP_INDEX_BITS),
            }
        )

    @property
    def reset_cycles(self) -> int:
        """As many as pass a reset on, and some more in which it has reached them all: workers, program source and scratchpad."""
        return len(workers(self._p)) + 4

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index, left = Signal(STEP_INDEX_BITS), Signal(STEP_INDEX_BITS)  # of the step at hand; steps not yet handed over
        # What goes wrong: for each place its code in this cycle, its engine, and its step a cycle later, the one that counts first. It
        # takes many bits from everywhere, so it is kept first; from then on nothing starts, `failing`.
        errors: list[tuple[Value, int, Value]] = []
        failing = Signal()
        header = data.View(record_layout(HEADER), self.steps.payload[: HEADER.bits])
        complete = Signal(complete_layout(self._p))
        everyone, present = workers(self._p), engines(self._p)
        names = "queued", "queue_ready", "step_begun", "step_ended"
        queued, queue_ready, step_begun, step_ended = (Signal(len(everyone), name=name) for name in names)
        # Work is counted a cycle later than it begins and ends, which comes from the arbiters of the scratchpad.
        begun, ended = Signal(len(everyone)), Signal(len(everyone))
        in_flight, at_work = (
            [Signal(range(IN_FLIGHT + 2), name=f"{worker.name}_{what}") for worker in everyone] for what in ("in_flight", "at_work")
        )
        own = {e: [i for i, worker in enumerate(everyone) if worker.engine == e] for e in engine_numbers(self._p)}
        m.d.comb += [
            self.activity.eq(Cat(step_begun, step_ended)),
            self.busy.eq(Cat(Cat(in_flight[i] for i in its).any() for its in own.values())),
            self.at_work.eq(Cat(Cat(at_work[i] for i in its).any() for its in own.values())),
        ]
        m.d.sync += [begun.eq(step_begun), ended.eq(step_ended)]
        unknown = header.reserved if self._p.pruning else Cat(header.when, header.reserved)
        units = Mux(header.engine == Engine.COMPUTE, self._p.units, 1)
        known = header.engine.matches(*present) & (header.unit < units) & (unknown == 0)
        order = None  # of the compute steps that were handed over and are not complete: their units
        if self._p.units > 1:
            order = Queue(range(self._p.units), depth=self._p.units * (self._p.queue_depth + IN_FLIGHT + 1), latency=1)
            m.submodules.order = ResetInserter(self.core_reset)(order)
        # Whose queue takes the step at hand: known a cycle after the step, since it writes to many places.
        offered, chosen, handed = Signal(), Signal(len(everyone)), Signal()
        for i, (e, unit, name) in enumerate(everyone):
            port = getattr(self, name)
            waits = [header[wait] for wait in WAITS]
            record, flag = self._commands[e], {"when": FLAG_BITS} if self._p.pruning else {}
            layout = data.StructLayout({"command": record_layout(record), "waits": complete.shape(), "index": STEP_INDEX_BITS, **flag})
            m.submodules[f"{name}_queue"] = queue = ResetInserter(self.core_reset)(Queue(layout, depth=self._p.queue_depth))
            m.d.comb += [
                queue.i.payload.command.eq(self.steps.payload[HEADER.bits : HEADER.bits + record.bits]),
                queue.i.payload.index.eq(index),
                queue.i.valid.eq(chosen[i]),
                queued[i].eq(queue.o.valid | (queue.level != 0)),
                *(queue.i.payload.waits[other].eq(waits[other]) for other in present),
            ]
            ready, go, taken = (Signal(name=f"{name}_{what}") for what in ("ready", "go", "taken"))
            leaves = Signal(name=f"{name}_leaves")  # the queue, which has many registers: a cycle after it was taken
            waited = Signal(CHECK_CYCLES.get(e, 0), name=f"{name}_waited")  # for how long the command has been there
            mine = (header.engine == e) & (header.unit == unit)
            its_order = order if e is Engine.COMPUTE else None
            may, goes, begins, ends = queue.o.valid & ~leaves & waited.all() & ready & self.running & ~failing, taken, port.begun, port.done
            starts = may
            if self._p.pruning:
                # What a flag rules out ends without having begun, after all that its worker has taken before.
                skipped, when = Signal(name=f"{name}_skipped"), queue.o.payload.when
                ruled_out = (when != 0) & ~Cat(Const(0, 1), self.flags).bit_select(when, 1)
                m.d.comb += skipped.eq(may & ruled_out & (in_flight[i] == 0))
                starts, goes, begins, ends = may & ~ruled_out, taken | skipped, port.begun | skipped, port.done | skipped
                m.d.comb += queue.i.payload.when.eq(header.when)
            m.d.sync += [
                waited.eq(Mux(taken | leaves, 0, Cat(queue.o.valid, waited))),
                leaves.eq(goes),
                chosen[i].eq(offered & known & mine & ~handed),
                # A cycle ago, when nothing was handed over.
                queue_ready[i].eq(queue.i.ready & (its_order.i.ready if its_order else 1)),
            ]
            newest, older = Signal(STEP_INDEX_BITS, name=f"{name}_step"), Signal(STEP_INDEX_BITS, name=f"{name}_older_step")
            m.d.comb += [
                ready.eq(satisfied(complete, queue.o.payload.waits).all()),
                go.eq(starts),
                taken.eq(go & port.command.ready),
                Cat(port.command.payload.as_value()).eq(queue.o.payload.command.as_value()),
                port.command.valid.eq(go),
                port.complete.eq(complete),
                queue.o.ready.eq(leaves),
                step_begun[i].eq(begins),
                step_ended[i].eq(ends),
            ]
            m.d.sync += [in_flight[i].eq(in_flight[i] + goes - ended[i]), at_work[i].eq(at_work[i] + begun[i] - ended[i])]
            with m.If(taken):
                m.d.sync += [newest.eq(queue.o.payload.index), older.eq(newest)]
            outside = Mux(self.scratchpad_error[i], ErrorCode.SCRATCHPAD_ADDRESS, ErrorCode.NONE)
            its_newest, is_older = delay(m, newest, 1), delay(m, self.scratchpad_older[i], 1)
            errors.append((port.error, e, its_newest))
            errors.append((outside, e, Mux(is_older, delay(m, older, 2), delay(m, its_newest, 1))))
        following = Signal(complete.shape())  # one more of each, since a step's end comes a long way
        for e in present:
            every = [step_ended[i] for i in own[e]]
            with m.If(self._oldest_ends(m, every, order) if order and len(every) > 1 else every[0]):
                m.d.sync += [complete[e].eq(following[e]), following[e].eq(following[e] + 1)]

        # Hand over the step at hand.
        m.d.comb += [
            offered.eq(self.steps.valid & self.running & (left != 0) & ~failing),
            handed.eq((chosen & queue_ready).any()),
            self.steps.ready.eq(handed),
        ]
        if order:
            m.d.comb += [order.i.payload.eq(header.unit), order.i.valid.eq(handed & (header.engine == Engine.COMPUTE))]
        with m.If(handed):
            m.d.sync += [index.eq(index + 1), left.eq(left - 1)]
        at_hand = delay(m, index, 1)
        errors.append((Mux(offered & ~known, ErrorCode.ILLEGAL_STEP, ErrorCode.NONE), ERROR_ENGINE_SEQUENCER, at_hand))
        errors.append((Mux(self.fetch_error, ErrorCode.BUS_READ, ErrorCode.NONE), ERROR_ENGINE_SEQUENCER, at_hand))

        quiet_cycles, hung = Signal(32), Signal()
        m.d.sync += [
            quiet_cycles.eq(Mux(ended.any() | ~self.running, 0, quiet_cycles + 1)),
            hung.eq(self.running & (self.watchdog != 0) & (quiet_cycles >= self.watchdog)),
        ]
        errors.append((Mux(hung, ErrorCode.WATCHDOG, ErrorCode.NONE), ERROR_ENGINE_SEQUENCER, at_hand))
        self._report(m, errors, failing)

        with m.If(ended.any()):
            m.d.sync += self.completed.eq(self.completed + sum(ended))
        idle = (self.busy == 0) & (queued == 0)
        reset_left = Signal(range(self.reset_cycles))
        resets = self.core_reset.eq(1), reset_left.eq(self.reset_cycles - 1)
        outcome = self.done, self.failed, failing, self.error_code, self.error_engine, self.error_step
        with m.If(self.running):
            stopped = (self.error_code != ErrorCode.NONE) & ((self.busy == 0) | hung)
            finished = (left == 0) & idle & ~failing
            with m.If(stopped):
                m.d.sync += [self.running.eq(0), self.failed.eq(1), *resets]
            with m.Elif(finished):
                m.d.sync += [self.running.eq(0), self.done.eq(1)]
            m.d.comb += self.ended.eq(stopped | finished)
        with m.Elif(self.start):
            m.d.sync += [
                complete.eq(0),
                *(number.eq(1) for number in following),
                index.eq(self.first),
                left.eq(self.count),
                *(value.eq(0) for value in (*outcome, self.completed)),
                self.running.eq(1),
            ]
        with m.If(self.core_reset):
            m.d.sync += [
                self.core_reset.eq(reset_left != 0),
                reset_left.eq(reset_left - 1),
                begun.eq(0),
                ended.eq(0),
                *(count.eq(0) for count in (*in_flight, *at_work)),
            ]
        with m.If(self.reset):
            m.d.sync += [*resets, self.running.eq(0), *(value.eq(0) for value in outcome)]
        return m

    def _oldest_ends(self, m: Module, ended: list[Value], order: Queue) -> Value:
        """Whether the oldest step of the ``order`` has ended. ended: for each unit whether it ends one."""
        owed = [Signal(range(order.depth + 1), name=f"owed{unit}") for unit in range(len(ended))]  # ended, but not complete
        oldest, ends = order.o.payload, Signal()
        m.d.comb += [
            ends.eq(order.o.valid & Array(unit | count.any() for unit, count in zip(ended, owed, strict=True))[oldest]),
            order.o.ready.eq(ends),
        ]
        m.d.sync += [count.eq(count + ended[unit] - (ends & (oldest == unit))) for unit, count in enumerate(owed)]
        with m.If(self.start):
            m.d.sync += [count.eq(0) for count in owed]
        return ends

    def _report(self, m: Module, errors: list[tuple[Value, int, Value]], failing: Signal) -> None:
        """Keep the first error of a run, of several at once the first of the list."""
        found = []
        for i, (code, engine, step) in enumerate(errors):
            kept = Signal.like(self.error_code, name=f"error{i}_code")
            m.d.sync += kept.eq(Mux(self.running, code, ErrorCode.NONE))
            found.append((kept, engine, step))
            with m.If(self.running & (kept != ErrorCode.NONE)):
                m.d.sync += failing.eq(1)
        for code, engine, step in reversed(found):
            with m.If(self.running & (self.error_code == ErrorCode.NONE) & (code != ErrorCode.NONE)):
                m.d.sync += [self.error_code.eq(code), self.error_engine.eq(engine), self.error_step.eq(step)]
