"""Train the detector, with and without deformation, and export both: `python -m examples.detector.train` in the checkout writes
detector.onnx and plain.onnx.

Needs the `train` extra (PyTorch CPU). Gives the same networks on every run of one machine.
"""

from collections.abc import Sequence

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

from ..transformer import export
from .data import CLASSES, SIZE, STRIDE, Scene, scenes
from .model import Deformed, Deployed, Detector
from .quantize import FLOAT_MODELS

SEED = 20
SCENES = 5000
STEPS = 1700
BATCH = 32
RATE = 4e-3
SIDE = SIZE // STRIDE


def targets(scene: Scene) -> tuple[NDArray, NDArray, NDArray]:
    """Of CenterNet: around the middle of each box a bump of its class, [CLASSES, SIDE, SIDE]; at that pixel its width and height, and where
    in the pixel the middle lies, [4, SIDE, SIDE]; and which pixels these are, [1, SIDE, SIDE]."""
    heat, values, known = np.zeros((CLASSES, SIDE, SIDE)), np.zeros((4, SIDE, SIDE)), np.zeros((1, SIDE, SIDE))
    rows, cols = np.mgrid[:SIDE, :SIDE]
    for kind, box in zip(scene.classes, scene.boxes / STRIDE, strict=True):
        size, middle = box[2:] - box[:2], (box[:2] + box[2:]) / 2
        x, y = np.minimum(middle.astype(int), SIDE - 1)
        spread = np.maximum(size / 8, 0.4)
        heat[kind] = np.maximum(heat[kind], np.exp(-(((cols - x) / spread[0]) ** 2 + ((rows - y) / spread[1]) ** 2) / 2))
        values[:, y, x] = *size, *(middle - (x, y))
        known[:, y, x] = 1
    return heat, values, known


def loss_of(found: tuple[Tensor, Tensor, Tensor], heat: Tensor, values: Tensor, known: Tensor) -> Tensor:
    """CenterNet's: the focal loss of the heat, and the distance of sizes and places where they are known."""
    hm, wh, reg = found
    hm = hm.clamp(1e-4, 1 - 1e-4)
    middle = heat == 1
    focal = torch.where(middle, (1 - hm) ** 2 * hm.log(), (1 - heat) ** 4 * hm**2 * (1 - hm).log())
    distance = (torch.cat([0.1 * wh, reg], 1) - values * torch.tensor([0.1, 0.1, 1, 1]).reshape(1, 4, 1, 1)).abs() * known
    return -focal.sum() / middle.sum() + distance.sum() / known.sum()


def train(examples: Sequence[Scene], *, deformable: bool) -> Detector:
    """On all examples, again and again in another order."""
    torch.manual_seed(SEED)
    images = torch.from_numpy(np.stack([scene.image for scene in examples]))
    heat, values, known = (torch.from_numpy(np.stack(arrays).astype(np.float32)) for arrays in zip(*map(targets, examples), strict=True))
    model = Detector(deformable=deformable)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    losses, batches = [], list[Tensor]()
    for step in range(STEPS):
        for module in model.modules():
            if isinstance(module, Deformed):
                module.rounds = step >= STEPS // 2
        batches = batches or list(torch.randperm(len(images)).split(BATCH))
        batch = batches.pop()
        loss = loss_of(model(images[batch]), heat[batch], values[batch], known[batch])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"step {step + 1:4d} of {STEPS}: loss {np.mean(losses[-100:]):.3f}", flush=True)
    return model


def main() -> None:
    torch.set_num_threads(1)
    examples = scenes("train", SCENES)
    for name, path in FLOAT_MODELS.items():
        model = Deployed(train(examples, deformable=name == "deformable"))
        export(model, torch.from_numpy(examples[0].image[None]), path, source="image", results=["hm", "box"])


if __name__ == "__main__":
    main()
