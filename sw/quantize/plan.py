"""Which tensors of a float network are quantized: what the engines read, and what the network gives.

What lies between stays as it is, for the importer takes it as one operation with what comes before: a product with its bias, factor and
ReLU, a chain of functions of one tensor, a mask before Softmax.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..frontend.movement import MOVES
from ..frontend.onnx_file import Node, OnnxModel
from ..frontend.readers import POINTWISE, Readers
from .offsets import OffsetSteps
from .wide import masks, wide

ROWS = {"MatMul", "Gemm"}
MAPS = {"Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "ReduceMean"}
LIMITING = frozenset({"Relu", "Clip"})
LINEAR = frozenset({"Add", "Mul", "Div"}) | LIMITING
ALIKE = {"Resize", "MaxPool", "GlobalMaxPool", *MOVES}  # their results are some of the numbers of their first operand


@dataclass(frozen=True)
class Plan:
    """By names of tensors.

    marked: by the first result of each node, what is quantized because of it. alike: by a quantized tensor another one whose scale it has.
    wide: those of int16. clips: results of Clips that a QuantizeLinear behind them makes needless. excluded: names of nodes that
    quantize_static must not see, as it would take the range of their results for that of their operands, which the network gives too.
    """

    marked: Mapping[str, Sequence[str]]
    alike: Mapping[str, str]
    wide: frozenset[str]
    clips: frozenset[str]
    excluded: Sequence[str]


def producers_of(model: OnnxModel) -> dict[str, Node]:
    """The nodes by the names of their results."""
    return {name: node for node in model.nodes for name in node.outputs}


def plan_of(model: OnnxModel, offsets: Iterable[OffsetSteps] = ()) -> Plan:
    """offsets: of each DeformConv."""
    planner = _Planner(model, {steps.path.node: steps for steps in offsets})
    for node in model.nodes:
        planner.visit(node)
    marked = planner.marked
    of_int16 = wide(model, planner.readers, marked, planner.scaled) - planner.clips
    excluded = [node.name for node in model.nodes if planner.is_excluded(node)]
    return Plan(marked=marked, alike=planner.alike(of_int16), wide=of_int16, clips=frozenset(planner.clips), excluded=excluded)


@dataclass
class _Planner:
    """pending: by the name of a result that only one node reads, which operators may become part of what makes it, and the axis of its
    channels. functions: by the name of a function's result, the tensor whose elements it is a function of. scaled: by the name of a tensor
    times a number, that tensor."""

    model: OnnxModel
    offsets: Mapping[str, OffsetSteps]
    marked: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    pending: dict[str, tuple[frozenset[str], int]] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    scaled: dict[str, str] = field(default_factory=dict)
    clips: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.readers, self.producers = Readers(self.model), producers_of(self.model)
        self.inner = {name for steps in self.offsets.values() for name in steps.path.inner}

    def visit(self, node: Node) -> None:
        """Marks what is quantized because of the node."""
        operands = [] if node.outputs[0] in self.inner else self.operands(node)
        given = [name for name in node.outputs if name in self.model.outputs]
        seen = self.producers[node.inputs[0]] if self.is_excluded(node) else node
        place = seen.outputs[0]
        self.marked[place] = list(dict.fromkeys([*self.marked[place], *operands, *given]))

    def is_excluded(self, node: Node) -> bool:
        operand = node.inputs[0] if node.inputs else ""
        return node.op_type in LIMITING and operand in self.model.outputs and operand in self.producers

    def operands(self, node: Node) -> list[str]:
        """What the node reads quantized. Notes what may become part of it."""
        computed, kind, out = self.computed(node), node.op_type, node.outputs[0]
        if not computed:
            return []
        if kind in MOVES and len(computed) == 1:  # what is read in several ways would be computed as often
            return computed if len(self.readers.consumers[computed[0]]) > 1 else []
        if kind == "DeformConv":
            return self.deformed(node)
        if kind == "Concat":
            return [*(name for name in computed if name not in self.producers), out]
        if masks(node, self.readers):
            return [self.plain(computed[0]), *(self.constants(node) if kind == "Where" else ())]
        if kind == "Softmax":
            before = self.producers.get(node.inputs[0])
            return [] if before is not None and masks(before, self.readers) else [self.plain(node.inputs[0])]
        if len(computed) == 1 and self.becomes_part(node, computed[0]):
            return [out] if out in self.clips else []
        if kind in POINTWISE and self.is_function(node, computed):
            return [self.function(node, computed[0])]
        if kind in ROWS | MAPS:
            self.await_more(out, LINEAR, -1 if kind in ROWS else -3)
            return [self.plain(name) for name in computed] if kind == "MatMul" else computed
        if kind == "Add":
            self.await_more(out, LIMITING)
        return [*computed, *self.constants(node)] if kind in ("Add", "Mul") else computed

    def deformed(self, node: Node) -> list[str]:
        """Map, offsets and mask of a DeformConv."""
        self.await_more(node.outputs[0], LIMITING)
        steps = self.offsets[node.name]
        again = [steps.again] if steps.again else []
        return [node.inputs[0], steps.path.source, *again, *(name for name in node.inputs[4:] if name)]

    def await_more(self, name: str, kinds: frozenset[str], axis: int = 0) -> None:
        if len(self.readers.consumers.get(name, ())) == 1 and name not in self.model.outputs:
            self.pending[name] = kinds, axis

    def becomes_part(self, node: Node, operand: str) -> bool:
        """Whether the node is done at once with what makes its only computed operand."""
        kinds, axis = self.pending.get(operand, (frozenset[str](), 0))
        kind, out = node.op_type, node.outputs[0]
        if kind not in kinds:
            return False
        if kind == "Clip":
            self.clips |= {out} if self.keeps_zero(node) else set()
            return out in self.clips
        if kind == "Relu":
            self.await_more(out, frozenset({"Clip"}))
            return True
        part = self.is_bias(node, axis) if kind == "Add" else self.has_factor(node)
        if part:
            self.await_more(out, kinds, axis)
        return part

    def keeps_zero(self, clip: Node) -> bool:
        """Whether 0 is within the limits, as it is within the range of every QuantizeLinear."""
        low, high = (self.model.constants[name].item() if name else 0 for name in (*clip.inputs[1:], "", "")[:2])
        return low <= 0 <= high

    def is_bias(self, add: Node, axis: int) -> bool:
        """Whether a constant with a number for each channel is added."""
        array = next(self.model.constants[name] for name in add.inputs if name in self.model.constants)
        return array.size == 1 or (array.ndim >= -axis and array.size == array.shape[axis])

    def is_function(self, node: Node, computed: Sequence[str]) -> bool:
        """Of each element of one tensor."""
        constants = (self.model.constants[name] for name in node.inputs if name in self.model.constants)
        return len({self.functions.get(name, name) for name in computed}) == 1 and all(array.size == 1 for array in constants)

    def function(self, node: Node, operand: str) -> str:
        """What is quantized because of a function of one tensor's elements."""
        out, kind = node.outputs[0], node.op_type
        self.functions[out] = self.functions.get(operand, operand)
        if kind in ("Mul", "Div") and self.has_factor(node):
            self.scaled[out] = self.plain(operand)
        return self.functions[out]

    def has_factor(self, node: Node) -> bool:
        """Whether a Mul or Div is by a positive number."""
        name = node.inputs[0] if node.op_type == "Mul" and node.inputs[0] in self.model.constants else node.inputs[1]
        array = self.model.constants.get(name)
        return array is not None and array.size == 1 and array.item() > 0

    def plain(self, name: str) -> str:
        """Of a tensor times a number, the tensor."""
        return self.scaled.get(name, name)

    def computed(self, node: Node) -> list[str]:
        return [name for name in node.inputs if name and name not in self.model.constants]

    def constants(self, node: Node) -> list[str]:
        """Those of finite real numbers."""
        found = {name: self.model.constants[name] for name in node.inputs if name in self.model.constants}
        return [name for name, array in found.items() if array.dtype.kind == "f" and np.isfinite(array).all()]

    def alike(self, of_int16: Collection[str]) -> dict[str, str]:
        """By a quantized tensor another one of which it has some of the numbers, in as many bits."""
        quantized = {name for names in self.marked.values() for name in names}
        own = {name for steps in self.offsets.values() for name in (steps.path.source, steps.again)}
        found = {name: self.moved_from(name, quantized) for name in quantized - own}
        return {name: of for name, of in found.items() if of is not None and (name in of_int16) == (of in of_int16)}

    def moved_from(self, name: str, quantized: Collection[str]) -> str | None:
        """The quantized tensor of which ``name`` has some of the numbers."""
        node = self.producers.get(name)
        if node is None or node.op_type not in ALIKE:
            return None
        of = node.inputs[0]
        return of if of in quantized else self.moved_from(of, quantized)
