"""Layouts, tiles, memory plan, schedule, and whole programs on the golden machine against the executor."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from celosia.rtl.arch.activation import TABLE_ENTRIES
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import ADDRESS_BITS, STEP_BYTES, Engine, Step, VectorOperation, place_bits
from celosia.rtl.arch.window import Window
from celosia.rtl.arch.workers import Worker, workers, workers_of
from celosia.sw import graph as ir
from celosia.sw.compiler import plan
from celosia.sw.compiler.cost import ideal_cycles
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.layout import Layout
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.compiler.predict import Resources
from celosia.sw.compiler.program import Program
from celosia.sw.compiler.slots import from_slots, to_slots
from celosia.sw.compiler.task import Operand, Task
from celosia.sw.executor import execute
from celosia.sw.golden.machine import Machine
from celosia.tb.graphs import Builder, random_inputs
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from orders import a_waits, any_legal_order
from random_graphs import WITH_DEFORM, graphs, machines, run_on_golden_machine

SMALL = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=4)
many = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

REFUSALS = "a larger scratchpad is needed", "but row_elements is", "max pooling needs", "but factor_bits is", "along K must fill words"


def compiled(graph: ir.Graph, machine: MachineParameters) -> Program:
    """Only what is too large for the machine may be refused."""
    try:
        return compile_graph(graph, machine)
    except CompileError as e:
        if not any(reason in str(e) for reason in REFUSALS):
            raise
        reject()


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 30), st.sampled_from((8, 16)), st.sampled_from((4, 6, 16)))
def test_layout_round_trip(rows: int, groups: int, group: int, bits: int, word_bytes: int) -> None:
    cols = groups * group
    tensor = ir.Tensor(name="t", rows=rows, cols=cols, bits=bits, scale=1.0, zero_point=7)
    layout = Layout(tensor=tensor, group=group, word_bytes=word_bytes, bits=bits)
    values = np.random.default_rng(cols).integers(tensor.format.min, tensor.format.max + 1, (rows, cols)).astype(tensor.dtype)
    data = layout.pack(values)
    assert len(data) == rows * layout.row_words * word_bytes
    assert (layout.unpack(data) == values).all()
    padded = np.frombuffer(data, tensor.dtype).reshape(rows, layout.row_words, -1)
    for start in range(0, cols, group):
        assert (padded[:, layout.word(start), 0] == values[:, start]).all()
    last = padded.reshape(rows, groups, -1)
    assert (last[:, :, group:] == 7).all()


def test_column_within_a_word() -> None:
    layout = Layout(tensor=ir.Tensor(name="t", rows=1, cols=32, bits=8, scale=1.0, zero_point=0), group=32, word_bytes=16, bits=8)
    assert layout.word(16) == 1
    with pytest.raises(ValueError, match=r"^column 5 of t does not start a word$"):
        layout.word(5)


@given(st.binary(max_size=300), st.sampled_from((4, 6, 8, 20)), st.sampled_from((4, 8, 16)))
def test_slots_round_trip(data: bytes, rows: int, bus: int) -> None:
    machine = MachineParameters(rows=rows, cols=rows, lanes=rows // 2, bus_bytes=bus)
    words = data.ljust(-(-len(data) // rows) * rows, b"\0")
    slots = to_slots(words, machine)
    assert len(slots) == len(words) // rows * machine.slot_bytes
    assert from_slots(slots, machine) == words


def alive(program: Program) -> dict[str, tuple[int, int]]:
    """First and last operator that needs each resident buffer; tables and constants are needed always."""
    graph = program.graph
    result = {name: (-1, len(graph.operators)) for name in program.plan.resident}
    for name, tensor in graph.tensors.items():
        if name in result and tensor.data is None:
            uses = [i for i, op in enumerate(graph.operators) for b in (*op.inputs, *op.outputs) if b.tensor is tensor]
            first = -1 if any(port.tensor is tensor for port in graph.inputs) else min(uses)
            result[name] = first, max(uses, default=-1)  # an output is stored as soon as it is made
    return result


def buffer_words(program: Program, name: str) -> int:
    used = (o.buffer.words for task in program.plan.tasks for o in task.operands.values() if o.buffer.name == name)
    layout = program.layouts.get(name)
    return next(used, layout.rows * layout.row_words if layout else 0)


@many
@given(graphs(), machines())
def test_buffers_alive_together_do_not_overlap(graph: ir.Graph, machine: MachineParameters) -> None:
    program = compiled(graph, machine)
    plan, times = program.plan, alive(program)
    places = {name: (at, at + buffer_words(program, name)) for name, at in plan.resident.items()}
    assert all(0 <= low < high <= plan.staging[0] for low, high in places.values())
    for a, b in combinations(places, 2):
        together = times[a][0] <= times[b][1] and times[b][0] <= times[a][1]
        overlap = places[a][0] < places[b][1] and places[b][0] < places[a][1]
        assert not (together and overlap), (a, b)
    assert len(plan.staging) == 2 * machine.units
    assert all(low + plan.staging_words <= high for low, high in pairwise([*plan.staging, machine.scratchpad_words]))
    for task in plan.tasks:
        staged = sum(o.size for o in task.operands.values() if o.buffer.name not in plan.resident)
        assert staged <= plan.staging_words


def result(task: Task) -> Operand:
    """What the task writes."""
    if task.engine is Engine.STORE:
        assert task.source
        return task.source
    return task.operands["scratchpad" if task.engine is Engine.LOAD else "out"]


@many
@given(graphs(WITH_DEFORM), machines(deforms=True))
def test_tiles_cover_every_output_once(graph: ir.Graph, machine: MachineParameters) -> None:
    program = compiled(graph, machine)
    covered: dict[str, np.ndarray] = {}
    for task in program.plan.tasks:
        out = result(task)
        words = covered.setdefault(out.buffer.name, np.zeros((out.buffer.rows, out.buffer.row_words), int))
        words[out.row : out.row + out.rows, out.word : out.word + out.words] += 1
        if task.engine is Engine.COMPUTE:
            command = {**task.command, **task.walks["a"](0, task.operands["a"].words)}
            assert command["m"] * command["lines"] <= machine.accumulator_depth
    written = {block.tensor.name for op in program.graph.operators for block in op.outputs}
    assert set(covered) == written
    used = {name: np.arange(words.shape[1]) < program.layouts[name].used_words for name, words in covered.items()}
    assert all((words == used[name]).all() for name, words in covered.items())


Places = set[tuple[str, int]]


def words_of_a(c: Mapping[str, int], p: MachineParameters) -> set[int]:
    """Addresses of the words in which the windows of a compute command lie."""
    found, bits = set(), place_bits(p.rows)
    tiles = -(-c["n"] // p.cols) if c.get("depthwise") else -(-c["k"] // p.rows)
    last = c["m"] * (c.get("skip", 0) + 1) + c.get("skip_first", 0) - c.get("skip", 0)  # rows of bytes in a line
    counts = (c["lines"], c["taps_y"], c["taps_x"], tiles)
    for line, v, u, word in product(*map(range, counts)):
        y = c.get("y_start", 0) + line * c.get("y_step", 0) + v * c.get("y_tap", 0)
        start = c["a"] + line * c["a_line"] + v * c.get("a_tap_y", 0)
        for step in range(last):
            x = c.get("x_start", 0) + step * c.get("x_step", 0) + u * c.get("x_tap", 0) + (word << bits)
            for place in {x, x + p.rows - 1}:
                if 0 <= y < c["height"] and 0 <= (place >> bits) << bits < c["width"]:
                    found.add((start + (place >> bits)) % (1 << ADDRESS_BITS))
    return found


def touched(step: Step, p: MachineParameters) -> tuple[Places, Places, Places]:
    """Scratchpad words and external bytes that a step reads, those that it writes, and those that it reads as a, from its fields alone."""
    c = step.command

    def matrix(name: str, rows: int, elements: int, *, wide: int = 0) -> Places:
        words = -(-(elements << wide) // p.word_bytes)
        return {("scratchpad", c[name] + r * c[f"{name}_stride"] + w) for r in range(rows) for w in range(words)}

    match step.engine:
        case Engine.LOAD | Engine.STORE:
            scratchpad = matrix("scratchpad", c["rows"], c["words"] * p.word_bytes)
            size = c["words"] * p.slot_bytes
            external = {("external", c["external"] + r * c["external_stride"] + i) for r in range(c["rows"]) for i in range(size)}
            return (external, scratchpad, set()) if step.engine is Engine.LOAD else (scratchpad, external, set())
        case Engine.COMPUTE:
            n, k, words = c["n"], c["k"], -(-c["k"] // p.word_bytes)
            a = {("scratchpad", address) for address in words_of_a(c, p)}
            taps, b_words = c["taps_y"] * c["taps_x"], -(-k // (p.rows << c["b_narrow"]))
            depth = (taps - 1) * words * p.word_bytes + k
            b = matrix("b", n, taps * b_words * p.word_bytes) if c["b_transposed"] else matrix("b", depth, n)
            tables = matrix("channels", -(-n // p.cols), p.channel_words * p.word_bytes)
            if c["b_factored"]:
                tables |= {("scratchpad", c["factors"] + word) for word in range(-(-n // p.cols) * taps * p.factor_words)}
            if c["tabulated"]:
                tables |= {("scratchpad", c["table"] + word) for word in range(-(-TABLE_ENTRIES // p.word_bytes))}
            if c["residual"]:
                tables |= matrix("r", c["lines"] * c["m"], n, wide=c["r_wide"])
            return b | tables, matrix("out", c["lines"] * c["m"], n, wide=c["out_wide"]), a
        case Engine.VECTOR:
            rows, cols = c["rows"], c["cols"]
            seconds = {
                **dict.fromkeys((VectorOperation.ADD, VectorOperation.MULTIPLY), (rows, cols)),
                **{VectorOperation.LAYERNORM: (2, cols), VectorOperation.TABLE: (1, TABLE_ENTRIES)},
            }
            b_rows, b_cols = seconds.get(VectorOperation(c["operation"]), (0, 0))
            reads = matrix("a", rows, cols, wide=c["a_wide"]) | matrix("b", b_rows, b_cols, wide=c["b_wide"])
            return reads, matrix("out", rows, cols, wide=c["out_wide"]), set()
        case Engine.DEFORM:

            def pixels(name: str, lines: int, columns: int, pixel: str, words: int) -> Places:
                every = product(range(lines), range(columns), range(words))
                return {("scratchpad", c[name] + y * c[f"{name}_line"] + x * c[f"{name}_{pixel}"] + word) for y, x, word in every}

            taken, out, groups = (c["height"], c["width"]), (c["lines"], c["columns"]), c["groups"]
            offsets = (0, 1, 18)[c["form"]] << c["offset_wide"]
            kernels = {("scratchpad", c["b"] + word) for word in range(groups * p.deform_group_words)}
            reads = pixels("a", *taken, "pixel", groups) | pixels("offsets", *out, "stride", -(-offsets // p.word_bytes)) | kernels
            return reads, pixels("out", *out, "pixel", groups), set()
        case Engine.PIM:
            raise AssertionError("these machines have no PIM engine")


def complete_before(steps: Sequence[Step], of_step: Sequence[Worker]) -> tuple[list[dict[Engine, int]], list[dict[Engine, int]]]:
    """For each step how many steps of each engine are surely complete when it starts, and when it reads a. of_step: who does each."""
    at_start: list[dict[Engine, int]] = []
    at_end: list[dict[Engine, int]] = []
    of_engine: dict[Engine, list[int]] = {engine: [] for engine in Engine}

    def complete(done: dict[Engine, int], waits: Mapping[Engine, int]) -> dict[Engine, int]:
        done = dict(done)
        for engine in Engine:
            count = waits[engine]
            assert count <= len(of_engine[engine]), "a step waits for a later one: the machine would stand still"
            if count:  # the steps of an engine are complete in order: what the last of them knew, all knew
                last = at_end[of_engine[engine][count - 1]]
                done = {e: max(n, last[e]) for e, n in done.items()}
            done[engine] = max(done[engine], count)
        return done

    of_worker: dict[Worker, dict[Engine, int]] = {}  # of its last step, which has started
    for step, worker in zip(steps, of_step, strict=True):
        starts = of_worker[worker] = complete(of_worker.get(worker, dict.fromkeys(Engine, 0)), step.waits)
        at_start.append(starts)
        at_end.append(complete(starts, a_waits(step)))
        of_engine[step.engine].append(len(at_start) - 1)
    return at_start, at_end


@settings(many, max_examples=40)
@given(graphs(WITH_DEFORM), machines((1, 2, 16), deforms=True))
def test_conflicting_steps_are_ordered(graph: ir.Graph, machine: MachineParameters) -> None:
    program = compiled(graph, machine)
    decoded = [Step.decode(program.code[i : i + STEP_BYTES]) for i in range(0, len(program.code), STEP_BYTES)]
    for steps in (decoded[: len(program.prologue)], decoded[len(program.prologue) :]):
        of_step = list(workers_of(steps, machine))
        at_start, at_a = complete_before(steps, of_step)
        places = [touched(step, machine) for step in steps]
        number = [sum(s.engine is step.engine for s in steps[:i]) for i, step in enumerate(steps)]
        for every in places:
            assert all(
                at < machine.scratchpad_words if space == "scratchpad" else at < program.program_offset for space, at in set.union(*every)
            )
        for i, j in combinations(range(len(steps)), 2):
            reads, writes, late = places[j]
            conflict = places[i][1] & reads
            if of_step[i] != of_step[j]:  # a worker writes a step's results after all accesses of its earlier steps
                conflict |= places[i][1] & writes | (places[i][0] | places[i][2]) & writes
            assert not conflict or at_start[j][steps[i].engine] > number[i], (steps[i], steps[j])
            assert not places[i][1] & late or at_a[j][steps[i].engine] > number[i], (steps[i], steps[j])


def tiles_of_a(c: Mapping[str, int], p: MachineParameters) -> Iterator[set[int]]:
    """Addresses of the words of each tile of rows along K of the matrix a."""
    bits = place_bits(p.rows)
    for tap, word in product(range(c["taps_x"]), range(-(-c["k"] // p.rows))):
        x = tap * c["x_tap"] + (word << bits)
        yield {c["a"] + line * c["a_line"] + (place >> bits) for line in range(c["lines"]) for place in (x, x + p.rows - 1)}


def written_words(c: Mapping[str, int], p: MachineParameters, tiles: int) -> set[int]:
    """Addresses of the words that a compute command has completely written when it has written its first tiles of int8 channels."""
    columns = min(c["n"], tiles * p.cols)
    words = -(-columns // p.word_bytes) if columns == c["n"] else columns // p.word_bytes
    return {c["out"] + row * c["out_stride"] + word for row in range(c["m"] * c["lines"]) for word in range(words)}


@settings(many, max_examples=60)
@given(graphs(), machines((2, 16)))
def test_a_step_that_follows_reads_what_is_written(graph: ir.Graph, machine: MachineParameters) -> None:
    steps = [step for step in compiled(graph, machine).body if step.engine is Engine.COMPUTE]
    of_units = [[step for step in steps if step.unit == unit] for unit in range(machine.units)]
    followers = [(a.command, b.command) for own in of_units for a, b in pairwise(own) if b.command.get("a_follows")]
    if not followers:
        reject()
    for before, c in followers:
        assert c["taps_y"] == c["m"] == 1
        assert not before["out_wide"]
        for tile, words in enumerate(tiles_of_a(c, machine)):
            read = words & written_words(before, machine, -(-before["n"] // machine.cols))
            assert read <= written_words(before, machine, max(0, tile + 1 - c["a_ahead"]))


@settings(many, max_examples=150)
@given(graphs(WITH_DEFORM), machines(deforms=True), st.integers(0, 1 << 16))
def test_programs_compute_what_the_executor_does(graph: ir.Graph, machine: MachineParameters, seed: int) -> None:
    program = compiled(graph, machine)
    inputs = random_inputs(graph, seed)
    values = execute(graph, inputs, lanes=machine.lanes)
    for body in (program.body, any_legal_order(program.body, machine, seed)):
        found = run_on_golden_machine(program, inputs, body)
        for port in graph.outputs:
            assert (found[port.name] == values[port.tensor.name]).all(), port.name
    assert len(program.code) == 128 * (len(program.prologue) + len(program.body))
    assert program.program_offset + len(program.code) == program.memory_bytes
    assert len(program.labels) == len(program.body)


@pytest.mark.parametrize("read_twice", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_tables_in_products(bits: int, *, read_twice: bool) -> None:
    builder = Builder(1)
    x = builder.tensor(9, 10, 8)
    product = builder.linear(x, 11, 8)
    table = builder.table(product, bits)
    out = builder.add(table, product, 8) if read_twice else table
    program = compile_graph(builder.graph([x], [out]), SMALL)
    fused = bits == 8 and not read_twice
    assert [step.command["tabulated"] for step in program.body if step.engine is Engine.COMPUTE] == [int(fused)]
    assert not (fused and any(step.engine is Engine.VECTOR for step in program.body))


def sums(graph: ir.Graph, residual: int = 1) -> list[bool]:
    """Of a graph of products and sums: for each product whether a sum is part of it. The program computes what the executor does."""
    program = compile_graph(graph, replace(SMALL, residual=residual))
    inputs = random_inputs(graph, 1)
    values = execute(graph, inputs, lanes=SMALL.lanes)
    for name, found in run_on_golden_machine(program, inputs).items():
        assert (found == values[name]).all(), name
    operators = program.graph.operators
    fused = {op.name: op.residual is not None for op in operators if isinstance(op, ir.MatMul)}
    assert any(step.engine is Engine.VECTOR for step in program.body) == any(isinstance(op, ir.Add) for op in operators)
    steps = zip(program.labels, program.body, strict=True)
    assert all(fused[name] == step.command["residual"] for name, step in steps if step.engine is Engine.COMPUTE)
    return list(fused.values())


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_sums_in_products(bits: int, *, swapped: bool) -> None:
    builder = Builder(1)
    x, y = builder.tensor(9, 10, 8), builder.tensor(9, 11, 24 - bits)
    product = builder.linear(x, 11, bits)
    out = builder.add(y, product, bits) if swapped else builder.add(product, y, bits)
    graph = builder.graph([x, y], [out])
    assert sums(graph) == [True]
    assert sums(graph, residual=0) == [False]


def test_sums_behind_tables_and_maxima() -> None:
    builder = Builder(1)
    x = builder.tensor(20, 8, 8)
    y = builder.add(x, builder.table(builder.linear(x, 8, 8), 8), 8)
    window = Window(height=4, width=5, kernel=(3, 3), groups=8, pads=(1, 1, 1, 1))
    graph = builder.graph([x], [builder.add(builder.max_pool(y, 8, window), y, 16)])
    assert sums(graph) == [True, True]


def test_a_sum_is_part_of_the_later_product() -> None:
    builder = Builder(1)
    x = builder.tensor(9, 10, 8)
    first, second = builder.linear(x, 11, 8), builder.linear(x, 11, 8)
    assert sums(builder.graph([x], [builder.add(first, second, 8)])) == [False, True]


def two_sums(builder: Builder, x: ir.Tensor, y: ir.Tensor) -> list[ir.Tensor]:
    return [builder.add(y, x, 8), builder.add(y, x, 16)]


def sum_and_product(builder: Builder, x: ir.Tensor, y: ir.Tensor) -> list[ir.Tensor]:
    return [y, builder.add(y, x, 8)]


def twice_itself(builder: Builder, _: ir.Tensor, y: ir.Tensor) -> list[ir.Tensor]:
    return [builder.add(y, y, 8)]


def sum_with_a_row(builder: Builder, _: ir.Tensor, y: ir.Tensor) -> list[ir.Tensor]:
    return [builder.add(y, builder.constant(1, y.cols), 8)]


def sum_of_heads(builder: Builder, x: ir.Tensor, y: ir.Tensor) -> list[ir.Tensor]:
    return [builder.add(builder.scores(x, y, 2, 8), builder.tensors["t0"], 8)]


@pytest.mark.parametrize("make", [two_sums, sum_and_product, twice_itself, sum_with_a_row, sum_of_heads])
def test_sums_that_stay_by_themselves(make: Callable[[Builder, ir.Tensor, ir.Tensor], list[ir.Tensor]]) -> None:
    builder = Builder(1)
    other, x = builder.tensor(16, 8, 8), builder.tensor(8, 16, 8)
    assert not any(sums(builder.graph([other, x], make(builder, x, builder.linear(x, 16, 8)))))


def test_results_that_have_no_residual_on_this_machine() -> None:
    builder = Builder(1)
    x = builder.tensor(9, 10, 8)
    graph = builder.graph([x], [builder.add(builder.linear(x, 10, 8), x, 8)])
    (command,) = (step for step in compile_graph(graph, replace(SMALL, residual=1)).body if step.engine is Engine.COMPUTE)
    with pytest.raises(ValueError, match=r"^results must not have a residual where the machine's residual is 0$"):
        Machine(SMALL, 0).run([command])


def test_values_are_computed_while_softmax_works() -> None:
    builder = Builder(1)
    x = builder.tensor(32, 32, 8)
    graph = builder.graph([x], [builder.attention(x, 1, 32)])
    queries, keys, values, scores, softmax, mixed, out = graph.operators
    program = compile_graph(graph, replace(SMALL, scratchpad_kib=64))
    assert program.graph.operators == (keys, queries, scores, values, softmax, mixed, out)
    halves = [(step.command["rows"], step.waits[Engine.COMPUTE]) for step in program.body if step.engine is Engine.VECTOR]
    assert halves == [(16, 3), (16, 5)]  # the first half starts while queries of the second one are computed


@pytest.mark.parametrize(("kib", "rows"), [(64, {16}), (8, {32})], ids=["weights that stay", "weights that are loaded"])
def test_a_product_in_halves_does_not_load_its_weights_twice(kib: int, rows: set[int]) -> None:
    builder = Builder(1)
    x = builder.tensor(32, 64, 8)
    program = compile_graph(builder.graph([x], [builder.gelu(builder.linear(x, 64, 16), 8)]), replace(SMALL, scratchpad_kib=kib))
    assert {step.command["lines"] for step in program.body if step.engine is Engine.COMPUTE} == rows


@pytest.mark.parametrize(("groups", "follows"), [(0, 1), (2, 1), (4, 1), (8, 0)])  # groups of half a word are read from any byte
def test_a_product_follows_the_one_before(groups: int, follows: int) -> None:
    builder = Builder(1)
    x = builder.tensor(20, 24, 8)
    y = builder.linear(builder.linear(x, 32, 8), 40, 8, groups=groups)
    other = builder.linear(x, 16, 8)
    program = compile_graph(builder.graph([x], [y, other]), replace(SMALL, scratchpad_kib=64, factor_bits=8))
    commands = {label: step.command for label, step in zip(program.labels, program.body, strict=True) if step.engine is Engine.COMPUTE}
    assert [commands[name].get("a_follows", 0) for name in ("op0", "op1", "op2")] == [0, follows, 0]


def test_too_large_for_the_scratchpad() -> None:
    builder = Builder(1)
    x = builder.tensor(3, 1000, 16)
    graph = builder.graph([x], [builder.layernorm(x, 16)])
    with pytest.raises(CompileError) as caught:
        compile_graph(graph, MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=2, banks=2))
    message = str(caught.value)
    assert message.startswith("node0: its smallest tile needs ")
    assert message.endswith("a larger scratchpad is needed (t1[3x1000 int16] = LayerNorm(t0[3x1000 int16])  # node0)")
    assert "\n" not in message
    compile_graph(graph, MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=32))


def test_rows_longer_than_the_machines() -> None:
    builder = Builder(1)
    x = builder.tensor(2, 100, 8)
    with pytest.raises(CompileError, match=r"^node0: its rows have 100 elements, but row_elements is 64 \("):
        compile_graph(builder.graph([x], [builder.softmax(x, 8)]), MachineParameters(row_elements=64))


@pytest.mark.parametrize("operation", ["softmax", "layernorm", "gelu"])
def test_operations_that_the_machine_leaves_out(operation: str) -> None:
    builder = Builder(1)
    x = builder.tensor(2, 10, 8)
    graph = builder.graph([x], [getattr(builder, operation)(x, 8)])
    with pytest.raises(CompileError, match=rf"^node0: {operation} needs a machine with transformer \("):
        compile_graph(graph, MachineParameters(transformer=0))


@pytest.mark.parametrize("width", [1, 2, 9])
def test_maps_of_few_channels(width: int) -> None:
    builder = Builder(1)
    window = Window(height=3, width=width, kernel=(2, 2), pads=(0, 1, 0, 1))
    graph = builder.graph([x := builder.tensor(3 * width, 1, 8)], [out := builder.convolution(x, 5, 8, window)])
    inputs = random_inputs(graph, 1)
    expected = execute(graph, inputs, lanes=4)[out.name]
    assert (run_on_golden_machine(compile_graph(graph, SMALL), inputs)[out.name] == expected).all()


def test_maxima_that_the_array_can_not_take() -> None:
    builder = Builder(1)
    window = Window(height=4, width=5, kernel=(2, 2), groups=3)
    graph = builder.graph([x := builder.tensor(20, 3, 8)], [builder.max_pool(x, 8, window)])
    with pytest.raises(CompileError, match=r"^node0: max pooling needs an array of as many rows as columns, with depthwise_taps \("):
        compile_graph(graph, MachineParameters(rows=8, cols=4, lanes=4, scratchpad_kib=4))


FOUR_BITS = replace(SMALL, weight_bits=4, factor_bits=8)


@pytest.mark.parametrize("machine", [FOUR_BITS, replace(FOUR_BITS, depthwise_taps=0)], ids=["depthwise", "bundled"])
def test_a_machine_of_4_bit_weights(machine: MachineParameters) -> None:
    builder = Builder(3)
    x = builder.tensor(30, 12, 8)
    y = builder.convolution(x, 12, 8, Window(height=5, width=6, kernel=(3, 2), groups=12), 4)
    y = builder.convolution(y, 12, 8, Window(height=3, width=5, kernel=(1, 2), groups=4), 2)
    y = builder.max_pool(y, 8, Window(height=3, width=4, kernel=(2, 2), groups=12)) if machine.depthwise else y
    graph = builder.graph([x], [out := builder.linear(builder.linear(y, 9, 8, 4), 5, 8, 4, groups=3)])
    inputs = random_inputs(graph, 1)
    expected = execute(graph, inputs, lanes=4)[out.name]
    assert (run_on_golden_machine(compile_graph(graph, machine), inputs)[out.name] == expected).all()


def test_elements_wider_than_the_machines() -> None:
    builder = Builder(1)
    x, y = builder.tensor(4, 30, 8), builder.tensor(5, 30, 8)
    builder.scores(x, y, 1, 8)
    with pytest.raises(CompileError, match=r"^node0: t1\[5x30 int8\] is kept in elements of 8 bits, but weight_bits is 4 \(t2\["):
        compile_graph(builder.graph([x, y], [builder.tensors["t2"]]), FOUR_BITS)
    builder = Builder(1)
    x = builder.tensor(4, 30, 8)
    graph = builder.graph([x], [builder.linear(x, 9, 8, 8)])
    with pytest.raises(CompileError, match=r"^node0: t1\[9x30 int8\] is kept in elements of 8 bits, but weight_bits is 4 \(t2\["):
        compile_graph(graph, FOUR_BITS)
    command = next(step for step in compile_graph(graph, SMALL).body if step.engine is Engine.COMPUTE)
    for fields in ({}, {"b_narrow": 1, "b_zero_point": 8}, {"b_narrow": 1, "b_zero_point": -9}):
        with pytest.raises(ValueError, match=r"^b and its zero point must fit 4 bits, not "):
            Machine(FOUR_BITS, 0).run([replace(command, command={**command.command, **fields})])


def grouped_product(groups: int) -> ir.Graph:
    """Of K = 48."""
    builder = Builder(1)
    x = builder.tensor(4, 48, 8)
    return builder.graph([x], [builder.linear(x, 9, 8, groups=groups)])


def test_groups_that_the_machine_can_not_take() -> None:
    graph = grouped_product(3)
    with pytest.raises(CompileError, match=r"^node0: t1\[9x48 int8\] has scales of groups along K, but factor_bits is 0 \(t2\["):
        compile_graph(graph, SMALL)
    command = next(step for step in compile_graph(graph, replace(SMALL, factor_bits=8)).body if step.engine is Engine.COMPUTE)
    with pytest.raises(ValueError, match=r"^b must not be b_factored where factor_bits is 0$"):
        Machine(SMALL, 0).run([command])
    machine = MachineParameters(rows=12, cols=12, lanes=3, factor_bits=8)
    with pytest.raises(CompileError, match=r"^node0: its groups of 16 along K must fill words of 12 bytes where rows is no power of two"):
        compile_graph(graph, machine)
    compile_graph(grouped_product(2), machine)


def test_groups_of_heads_that_are_padded() -> None:
    builder = Builder(1)
    shares, values = builder.tensor(8, 5, 8), builder.tensor(5, 20, 8)
    graph = builder.graph([shares, values], [builder.linear(builder.mixed(shares, values, 2), 9, 8, groups=2)])
    with pytest.raises(
        CompileError, match=r": the columns of t\d+\[4x20 int8\] are kept in groups of 10 and t\d+\[9x20 int8\] can't follow them"
    ):
        compile_graph(graph, replace(SMALL, factor_bits=8))


def test_what_fits_is_loaded_once() -> None:
    builder = Builder(2)
    x = builder.tensor(4, 16, 8)
    graph = builder.graph([x], [builder.linear(builder.linear(x, 16, 8), 16, 8)])
    program = compile_graph(graph, SMALL)
    assert {step.engine for step in program.prologue} == {Engine.LOAD}
    assert [step.engine for step in program.body] == [Engine.LOAD, Engine.COMPUTE, Engine.COMPUTE, Engine.STORE]


def test_what_does_not_fit_is_tiled() -> None:
    builder = Builder(3)
    x = builder.tensor(40, 100, 8)
    graph = builder.graph([x], [builder.linear(x, 120, 16)])
    program = compile_graph(graph, SMALL)
    assert sum(step.engine is Engine.COMPUTE for step in program.body) > 10
    inputs = random_inputs(graph, 1)
    expected = execute(graph, inputs, lanes=4)["t2"]
    assert (run_on_golden_machine(program, inputs)["t2"] == expected).all()


@many
@given(graphs(), machines())
def test_rows_of_b_that_are_read_at_once_lie_in_different_banks(graph: ir.Graph, machine: MachineParameters) -> None:
    commands = [
        step.command for step in compiled(graph, replace(machine, banks=2, units=1, b_words=2)).body if step.engine is Engine.COMPUTE
    ]
    assert all(command["b_stride"] % 2 for command in commands)


@pytest.mark.parametrize(("m", "n"), [(256, 64), (100, 64), (1, 512), (24, 64)], ids=["rows", "odd rows", "columns", "few rows"])
def test_units_have_as_much_to_do(m: int, n: int) -> None:
    builder = Builder(1)
    x = builder.tensor(m, 64, 8)
    graph = builder.graph([x], [builder.linear(x, n, 8)])
    machine = MachineParameters(rows=16, cols=16, scratchpad_kib=256, banks=8, units=4)
    cycles: dict[Worker, int] = {}
    body = compile_graph(graph, machine).body
    for step, worker in zip(body, workers_of(body, machine), strict=True):
        cycles[worker] = cycles.get(worker, 0) + ideal_cycles(step, machine)
    found = [cycles.get(worker, 0) for worker in workers(machine) if worker.engine is Engine.COMPUTE]
    alone = [step for step in compile_graph(graph, replace(machine, units=1)).body if step.engine is Engine.COMPUTE]
    assert max(found) == min(found) <= sum(ideal_cycles(step, machine) for step in alone) / 4


@pytest.mark.parametrize(("m", "n"), [(64, 256), (40, 512)])
def test_units_load_weights_that_pass_through_once(m: int, n: int) -> None:
    """By columns, of which each unit has its own: by rows it would take as many cycles, and each would load all weights."""
    builder = Builder(1)
    x = builder.tensor(m, 256, 8)
    program = compile_graph(builder.graph([x], [builder.linear(x, n, 8)]), replace(SMALL, scratchpad_kib=64, banks=8, units=4))
    weights = [task.operands["b"] for task in program.plan.tasks]
    assert {operand.buffer.name for operand in weights}.isdisjoint(program.plan.resident)
    assert sum(operand.size for operand in weights) == weights[0].buffer.words


def test_a_larger_staging_area_must_save_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The larger its tiles are, the longer the first ones are waited for."""
    builder = Builder(1)
    x = builder.tensor(32, 128, 8)
    graph = builder.graph([x], [builder.table(builder.linear(x, 512, 8), 8)])  # each tile loads the table
    machine = MachineParameters(units=4, banks=16, scratchpad_kib=512, bus_bytes=16)
    every_word = Resources(constants_stay=False)
    small = compile_graph(graph, machine, resources=every_word)
    monkeypatch.setattr(plan, "WORTH", 1)
    large = compile_graph(graph, machine, resources=every_word)
    assert small.plan.staging_words < large.plan.staging_words
    assert large.plan.words_moved < small.plan.words_moved
    assert small.cycles < large.cycles


def test_constants_that_do_not_stay_are_loaded_in_each_run() -> None:
    builder = Builder(1)
    x = builder.tensor(4, 16, 8)
    graph = builder.graph([x], [builder.linear(x, 16, 8)])
    program = compile_graph(graph, SMALL, resources=Resources(constants_stay=False))
    assert not program.prologue
    assert program.plan.words_staged >= graph.tensors["t1"].rows * 2
    inputs = random_inputs(graph, 1)
    assert (run_on_golden_machine(program, inputs)["t2"] == execute(graph, inputs, lanes=4)["t2"]).all()
