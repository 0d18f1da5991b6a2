"""Which tensors of a transformer have int16: what is added up from layer to layer, the scores before Softmax, and what comes out."""

from collections.abc import Collection, Mapping, Sequence

from ..frontend.movement import MOVES
from ..frontend.onnx_file import Node, OnnxModel
from ..frontend.readers import Readers

NORMS = {"LayerNormalization", "RMSNormalization"}
READERS = {*NORMS, "Softmax", "Add", "Where", "ArgMax", *MOVES}  # of int16, which products and tables do not take


def masks(node: Node, readers: Readers) -> bool:
    """Whether the node leaves out scores right before Softmax."""
    chosen = node.op_type == "Where" or (node.op_type == "Add" and any(name in readers.constants for name in node.inputs))
    return chosen and readers.read_only_by(node, "Softmax")


def wide(model: OnnxModel, readers: Readers, marked: Mapping[str, Sequence[str]], scaled: Collection[str]) -> frozenset[str]:
    """marked: by the first result of a node, what is quantized because of it. scaled: tensors that are another one times a number."""
    stream = _stream(model, marked)
    scored = [node for node in model.nodes if node.op_type == "Softmax" or masks(node, readers)]
    scores = {name for node in scored for name in marked[node.outputs[0]][:1]}

    def is_read_so(name: str) -> bool:
        consumers = (node for node, _ in readers.consumers.get(name, ()))
        return all(node.op_type in READERS or node.outputs[0] in scaled for node in consumers)

    return frozenset(filter(is_read_so, stream | scores | (set(model.outputs) if stream else set())))


def _stream(model: OnnxModel, marked: Mapping[str, Sequence[str]]) -> set[str]:
    """What LayerNormalization reads, and all that it is a sum of, or is added to."""

    def is_sum(node: Node) -> bool:
        return node.op_type == "Add" and set(marked[node.outputs[0]]) >= set(node.inputs)

    stream = {node.inputs[0] for node in model.nodes if node.op_type in NORMS}
    tied = [{*node.inputs, *node.outputs} for node in model.nodes if is_sum(node)]
    tied += [{node.inputs[0], *node.outputs} for node in model.nodes if node.op_type in MOVES]
    while more := [names for names in tied if names & stream and not names <= stream]:
        stream.update(*more)
    return stream
