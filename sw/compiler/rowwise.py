"""Row operators: how they are cut into tasks of the vector engine."""

from collections.abc import Iterator
from itertools import product

from ...rtl.arch.steps import COUNT_BITS, IMPORTANCE_ADDS, VECTOR_SCALARS, Engine, VectorOperation, vector_operations
from .. import graph as ir
from .errors import CompileError
from .operands import Operands
from .segments import segments
from .task import Operand, Task, Way

MAX_ROWS = (1 << COUNT_BITS) - 1
OPERATIONS = {
    ir.Add: VectorOperation.ADD,
    ir.Multiply: VectorOperation.MULTIPLY,
    ir.Rescale: VectorOperation.RESCALE,
    ir.Softmax: VectorOperation.SOFTMAX,
    ir.Gelu: VectorOperation.GELU,
    ir.LayerNorm: VectorOperation.LAYERNORM,
    ir.Table: VectorOperation.TABLE,
}


class Rowwise:
    """Makes the tasks of row operators from their ``operands``."""

    def __init__(self, operands: Operands) -> None:
        self._operands = operands

    def of(self, op: ir.Operator) -> Iterator[Way]:
        """Raises CompileError where the machine can't do it."""
        assert isinstance(op, ir.RowOperator)
        operation = OPERATIONS[type(op)]
        if operation not in vector_operations(self._operands.parameters):
            raise CompileError(f"{operation.name.lower()} needs a machine with transformer")
        q = op.parameters  # pyright: ignore[reportAttributeAccessIssue] - every row operator has parameters
        blocks = [op.a, op.out] + ([op.b] if isinstance(op, ir.PairOperator) else [])
        line = self._operands.layouts[op.a.tensor.name].line  # rows that lie side by side in a row of the buffer
        runs = list(segments(self._operands.layouts, blocks)) if line == 1 else [(0, op.a.cols * line)]
        whole_row = isinstance(op, ir.Softmax | ir.LayerNorm)
        if whole_row and len(runs) > 1:
            raise CompileError("its rows are kept in groups of columns")
        if whole_row:
            self._operands.require_row(op.a.cols)
        command = {
            **{field: int(getattr(q, name)) for field, name in VECTOR_SCALARS[operation].items()},
            **{"operation": operation, "a_wide": int(op.a.tensor.bits == 16), "out_wide": int(op.out.tensor.bits == 16)},
        }
        # a causal mask grows from row to row of its matrix: no task may go on in the next one
        matrix = op.parameters.rows if isinstance(op, ir.Softmax) and op.parameters.rows > 1 else op.a.rows // line
        for (first, count), top in product(runs, range(0, op.a.rows // line, matrix)):

            def make(row: int, rows: int, col: int, cols: int, first=first, top=top) -> Task:
                row, start = top + row, first + col

                def taken(block: ir.Block, row: int = row, rows: int = rows, *, repeat: bool = False) -> Operand:
                    if line > 1:
                        return self._operands.rows(block, row, rows)
                    return self._operands.rectangle(block, row, rows, start, cols, repeat=repeat)

                operands = {"a": taken(op.a), "out": taken(op.out)}
                fields = {**command, "rows": rows, "cols": cols}
                if isinstance(op, ir.Softmax):
                    mask = op.parameters
                    fields |= {"length": min(mask.length + row % mask.rows, cols), "causal": int(mask.rows > 1)}
                    fields["importance"] = op.importance if row == 0 else min(op.importance, IMPORTANCE_ADDS)
                    if op.threshold is not None and rows < op.a.rows:
                        raise CompileError("its rows, of which one may set its flag, must fit one step")
                elif isinstance(op, ir.PairOperator):
                    repeat = op.b.rows == 1 < op.a.rows
                    operands["b"] = taken(op.b, 0, 1, repeat=True) if repeat else taken(op.b)
                    fields["b_wide"] = int(op.b.tensor.bits == 16)
                elif isinstance(op, ir.LayerNorm | ir.Table):
                    operands["b"] = self._operands.table(op)
                    fields["b_wide"] = 1
                return Task(engine=Engine.VECTOR, operator=op, command=fields, operands=operands)

            most_rows = self._operands.piece(make, matrix, count, MAX_ROWS, op.a, op.out)
            yield Way(make=make, rows=matrix, cols=count, most_rows=most_rows, most_cols=count, col_step=count)
