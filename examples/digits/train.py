"""Train the demo's vision transformer on scikit-learn's digits and export it: `python -m examples.digits.train` in the checkout writes
split.npz and digits.onnx.

Needs the `train` extra (PyTorch CPU). Takes about a minute on one core and gives the same network on every run of one machine.
"""

import copy
import math
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from ..transformer import Block, export
from .data import SEED, SPLIT, load, make_split

HERE = Path(__file__).parent
EPOCHS = 150
BATCH = 64


class DigitsTransformer(nn.Module):
    """Vision transformer on 8x8 images: 16 patches of 2x2, mean pooling, 10 classes."""

    def __init__(self, width: int = 64, heads: int = 4, hidden: int = 128, blocks: int = 2):
        super().__init__()
        self.embedding = nn.Linear(4, width)
        self.position = nn.Parameter(torch.randn(1, 16, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout=0.1) for _ in range(blocks))
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
    export(model, pixels[:1], HERE / "digits.onnx", source="image", results=["logits"])


if __name__ == "__main__":
    main()
