"""Train the demo's vision transformer on scikit-learn's digits and export it: `python train.py` writes split.npz and digits.onnx.

Needs the `train` extra (PyTorch CPU). Takes about a minute on one core and gives the same network on every run of one machine.
"""

import ast
import copy
import math
from pathlib import Path

import numpy as np
import onnx
import torch  # pyright: ignore[reportMissingImports]
from data import SEED, SPLIT, load, make_split
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

HERE = Path(__file__).parent
EPOCHS = 150
BATCH = 64
OPSET = 21  # the first with int16 QuantizeLinear


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

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, width] to [N, T, width]."""
        n, t, width = x.shape
        shape = (n, t, self.heads, width // self.heads)
        q = self.query(x).reshape(shape).permute(0, 2, 1, 3)
        k = self.key(x).reshape(shape).permute(0, 2, 3, 1)
        v = self.value(x).reshape(shape).permute(0, 2, 1, 3)
        mixed = (q @ k).softmax(-1) @ v
        return self.projection(mixed.permute(0, 2, 1, 3).reshape(n, t, width))


class Block(nn.Module):
    """One pre-norm encoder block."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, width] to [N, T, width]."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.fc2(functional.gelu(self.fc1(self.norm2(x)))))


class DigitsTransformer(nn.Module):
    """Vision transformer on 8x8 images: 16 patches of 2x2, mean pooling, 10 classes."""

    def __init__(self, width: int = 64, heads: int = 4, hidden: int = 128, blocks: int = 2):
        super().__init__()
        self.embedding = nn.Linear(4, width)
        self.position = nn.Parameter(torch.randn(1, 16, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, 10)

    def forward(self, image: Tensor) -> Tensor:
        """[N, 1, 8, 8] pixels in 0..1 to [N, 10] logits."""
        n = image.shape[0]
        patches = image.reshape(n, 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(n, 16, 4)
        x = self.embedding(patches) + self.position
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.norm(x).mean(1))


def augment(images: Tensor) -> Tensor:
    """Most images turned, scaled and shifted a little, with zeros coming in from outside; the rest as sharp as they were."""
    n = len(images)
    angle = (torch.rand(n) - 0.5) * 2 * math.radians(12)
    scale = 1 + (torch.rand(n) - 0.5) * 0.2
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = (torch.rand(n, 2) - 0.5) * 2 * 0.25  # of half the width: one pixel
    turn = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = functional.affine_grid(turn, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    return torch.where((torch.rand(n) < 0.3).reshape(n, 1, 1, 1), images, moved)


def train(images: Tensor, labels: Tensor) -> DigitsTransformer:
    """Train on augmented images; returns the running average of the weights."""
    model = DigitsTransformer()
    average = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    steps = math.ceil(len(images) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=EPOCHS * steps, pct_start=0.1)
    for epoch in range(EPOCHS):
        losses = []
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = functional.cross_entropy(model(augment(images[batch])), labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for kept, new in zip(average.parameters(), model.parameters(), strict=True):
                    kept.lerp_(new, 0.01)
            losses.append(loss.item())
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d} of {EPOCHS}: loss {np.mean(losses):.3f}", flush=True)
    return average


def rename(graph: onnx.GraphProto) -> None:
    """Name nodes, values and weights after the modules that they come from, as in blocks.0.attention.query."""
    new: dict[str, str] = {}
    taken = set()
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
        if node.output[0] != graph.output[0].name:
            new[node.output[0]] = unique
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for item in (*graph.initializer, *graph.value_info):
        item.name = new.get(item.name, item.name)


def export(model: DigitsTransformer, image: Tensor, path: Path) -> None:
    """Write the network for one image, without the exporter's stack traces (they hold paths of this machine)."""
    program = torch.onnx.export(
        model, (image,), input_names=["image"], output_names=["logits"], opset_version=OPSET, dynamo=True, verbose=False
    )
    proto = program.model_proto
    rename(proto.graph)
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    images, labels = load()
    split = make_split(len(images))
    np.savez_compressed(SPLIT, allow_pickle=False, **split)
    pixels, targets = torch.from_numpy(images), torch.from_numpy(labels)
    model = train(pixels[split["train"]], targets[split["train"]])
    with torch.no_grad():
        right = (model(pixels[split["test"]]).argmax(1) == targets[split["test"]]).float().mean().item()
    print(f"float accuracy on {len(split['test'])} test images: {right:.2%}")
    export(model, pixels[:1], HERE / "digits.onnx")


if __name__ == "__main__":
    main()
