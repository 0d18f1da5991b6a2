"""Which operators can follow each other in a pipeline or in bands, and why others can't."""

from collections.abc import Mapping, Sequence

from .. import graph as ir

BY_ROWS = ir.MatMul | ir.RowOperator | ir.Deform  # what can make some rows of its results of some of what it reads
ONE_OF_ITS_KIND = ir.RowOperator, ir.Deform  # engines that can't do two at the same time


def is_map(op: ir.Operator, reader: ir.Operator) -> bool:
    """Whether what is between two operators is a feature map, of which the reader's rows may need some in common."""
    if isinstance(reader, ir.Deform) and reader.offsets is not None:
        return reader.a.tensor == op.outputs[0].tensor
    if isinstance(op, ir.Deform) and op.offsets is not None:
        return isinstance(reader, ir.MatMul) and reader.window is not None
    return any(isinstance(one, ir.Deform) or (isinstance(one, ir.MatMul) and one.window is not None) for one in (op, reader))


def _not_followed(graph: ir.Graph, op: ir.Operator, readers_of: Mapping[str, Sequence[ir.Operator]]) -> str:
    """Why the results of an operator can't be taken by their reader as they are made, or nothing if they can. readers_of: of tensors by
    name."""
    tensors = {block.tensor.name for block in op.outputs}
    if not isinstance(op, BY_ROWS) or op.when:
        return "its steps are not known before the run"
    if len(tensors) > 1:
        return "it writes several tensors"
    (name,) = tensors
    if any(port.tensor.name == name for port in graph.outputs):
        return f"{name} is an output of the network"
    readers = readers_of[name]
    if len(readers) != 1:
        return f"{name} has {len(readers)} readers"
    reader = readers[0]
    if not isinstance(reader, BY_ROWS) or reader.when:
        return f"the steps of {reader.name} are not known before the run"
    if any(isinstance(op, of_one) and isinstance(reader, of_one) for of_one in ONE_OF_ITS_KIND):
        return f"{reader.name} is for the same engine, of which there is one"
    walked, others = _operands(reader, name)
    if any(block.tensor.name == name for block in others):
        return f"{reader.name} needs all of {name} at once"
    if any(block.tensor.name != name for block in walked):
        return f"{reader.name} takes rows of several tensors"
    written = [op.out] if isinstance(op, ir.Deform) else op.outputs  # whose taps are rows together
    if not all(_whole_rows(block) for block in (*written, *walked)):
        return f"the rows of {name} are made, or read, in parts"
    if op.outputs[0].tensor.rows == 1:
        return f"{name} has one row, which is needed whole"
    return ""


def _operands(op: BY_ROWS, name: str) -> tuple[list[ir.Block], list[ir.Block]]:
    """What an operator reads row by row, as it writes its results; and what else it reads. name: of the tensor that it follows."""
    if isinstance(op, ir.Deform) and op.offsets and op.offsets.tensor.name == name:
        return [op.offsets], [op.a, op.b, *([op.masks] if op.masks else [])]
    if not isinstance(op, ir.MatMul):
        return [op.a], list(op.inputs[1:])
    residual, shift = ([op.residual.r] if op.residual else []), ([op.shift] if op.shift else [])
    return [part.a for part in op.parts], [*(part.b for part in op.parts), *residual, *shift]


def _whole_rows(block: ir.Block) -> bool:
    return block.col == 0 and block.cols == block.tensor.cols


def chains(graph: ir.Graph) -> tuple[list[list[str]], dict[str, str]]:
    """Runs of operators, by their names, of which each one's results can be taken by the next one as they are made; and why those of
    others can't."""
    readers: dict[str, list[ir.Operator]] = {name: [] for name in graph.tensors}
    for op in graph.operators:
        for name in {block.tensor.name for block in op.inputs}:
            readers[name].append(op)
    follower, reasons = dict[str, str](), dict[str, str]()
    for op in graph.operators:
        reason = _not_followed(graph, op, readers)
        if reason:
            reasons[op.name] = reason
        else:
            (follower[op.name],) = (reader.name for reader in readers[op.outputs[0].tensor.name])
    found = []
    for op in graph.operators:
        if op.name in follower and op.name not in follower.values():
            chain = [op.name]
            while chain[-1] in follower:
                chain.append(follower[chain[-1]])
            found.append(chain)
    return found, reasons
