"""Train the example's GPT on a text from a Debian package and export it: writes calibration.txt, test.txt and gpt.onnx.

`python -m examples.gpt.train` in the checkout. Needs the `train` extra (PyTorch CPU) and the Debian package bible-kjv. Takes about
20 minutes on one core and gives the same network on every run of one machine.
"""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from ..transformer import Block, export
from .text import HERE, PARTS, VOCABULARY, encode, read_books

CONTEXT = 128
SEED = 20
STEPS = 2500
BATCH = 32
RATE = 2e-3


class Gpt(nn.Module):
    """A decoder: each token attends to those before it and itself."""

    seen: Tensor

    def __init__(self, width: int = 128, heads: int = 4, hidden: int = 512, blocks: int = 3):
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), width)
        self.position = nn.Parameter(torch.randn(CONTEXT, width) * 0.02)
        self.register_buffer("seen", torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril(), persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout=0.0) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(VOCABULARY))
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[N, CONTEXT] tokens to the logits of each one's successor, [N, CONTEXT, vocabulary], and the likeliest one, [N, CONTEXT]."""
        x = self.embedding(tokens) + self.position
        for block in self.blocks:
            x = block(x, self.seen)
        logits = self.head(self.norm(x))
        return logits, logits.argmax(-1)


def train(tokens: Tensor) -> Gpt:
    """Train on windows from anywhere in the text."""
    model = Gpt()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    losses = []
    for step in range(STEPS):
        starts = torch.randint(len(tokens) - CONTEXT, (BATCH, 1))
        window = tokens[starts + torch.arange(CONTEXT + 1)]
        loss = functional.cross_entropy(model(window[:, :-1])[0].flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 49:
            print(f"step {step + 1:4d} of {STEPS}: loss {np.mean(losses[-50:]):.3f}", flush=True)
    return model.eval()


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    books = read_books()
    for part, names in PARTS.items():
        (HERE / f"{part}.txt").write_text("".join(books.pop(name) for name in names))
    tokens = torch.from_numpy(encode("".join(books.values())))
    export(train(tokens), tokens[None, :CONTEXT], HERE / "gpt.onnx", source="tokens", results=["logits", "next"])


if __name__ == "__main__":
    main()
