"""What the examples' transformers share: their layers in PyTorch, and their export to ONNX. Needs the `train` extra (PyTorch CPU)."""

import ast
import math
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

OPSET = 21  # the first with int16 QuantizeLinear
UNSEEN = -1e4  # in the place of a score: finite, since quantize_static gives it a scale


class Attention(nn.Module):
    """Multi-head self-attention. 1/sqrt(head width) is part of the query projection: it only changes how that starts."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.projection = nn.Linear(width, width)
        with torch.no_grad():
            self.query.weight /= math.sqrt(width // heads)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """[N, T, width] to [N, T, width]. seen: [T, T], the tokens that each one attends to; None: all."""
        n, t, width = x.shape
        shape = (n, t, self.heads, width // self.heads)
        q = self.query(x).reshape(shape).permute(0, 2, 1, 3)
        k = self.key(x).reshape(shape).permute(0, 2, 3, 1)
        v = self.value(x).reshape(shape).permute(0, 2, 1, 3)
        scores = q @ k
        if seen is not None:
            scores = torch.where(seen, scores, UNSEEN)
        mixed = scores.softmax(-1) @ v
        return self.projection(mixed.permute(0, 2, 1, 3).reshape(n, t, width))


class Block(nn.Module):
    """One pre-norm block of attention and MLP."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """[N, T, width] to [N, T, width]. seen: as of `Attention`."""
        x = x + self.dropout(self.attention(self.norm1(x), seen))
        return x + self.dropout(self.fc2(functional.gelu(self.fc1(self.norm2(x)))))


def rename(graph: onnx.GraphProto) -> None:
    """Name nodes, values and weights after the modules that they come from, as in blocks.0.attention.query."""
    new: dict[str, str] = {}
    taken, results = set(), {output.name for output in graph.output}
    for node in graph.node:
        scopes = next(p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes")
        *_, module, call = ast.literal_eval(scopes)
        if call.startswith("linear") and node.op_type != "Add":
            name = module
            if node.input[1] not in new and not node.input[1].endswith(".weight"):
                new[node.input[1]] = f"{module}.weight"
        elif call.startswith("linear"):
            name = f"{module}.biased"
        else:
            name = module if call.startswith("layer_norm") else ".".join(filter(None, (module, node.op_type.lower())))
        number = 1
        while (unique := name if number == 1 else f"{name}_{number}") in taken:
            number += 1
        taken.add(unique)
        node.name = unique
        if node.output[0] not in results:
            new[node.output[0]] = unique
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for item in (*graph.initializer, *graph.value_info):
        item.name = new.get(item.name, item.name)


def export(model: nn.Module, example: Tensor, path: Path, *, source: str, results: Sequence[str]) -> None:
    """Write the network for inputs of the example's shape, without the exporter's stack traces (they hold paths of this machine).

    source, results: names of the input and of the outputs.
    """
    program = torch.onnx.export(
        model, (example,), input_names=[source], output_names=results, opset_version=OPSET, dynamo=True, verbose=False
    )
    proto = program.model_proto
    rename(proto.graph)
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)
