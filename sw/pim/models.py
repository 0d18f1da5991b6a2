"""The GPTs whose decoding is modelled: their published shapes.

GPT-2: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), table 2, heads of 64 as in the weights that were
released. GPT-3: Brown et al., "Language Models are Few-Shot Learners" (2020), table 2.1; of its XL that lists 24 heads of 128, which are
not its width of 2,048: here 16.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Model:
    """A stack of `layers` blocks of attention and an MLP four times as wide; the logits' matrix is the embedding's."""

    name: str
    layers: int
    width: int
    heads: int
    vocabulary: int = 50257

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def hidden(self) -> int:
        return 4 * self.width

    @property
    def weights(self) -> int:
        """Those that each token meets: of the products."""
        return self.layers * 12 * self.width**2 + self.vocabulary * self.width


MODELS = {
    model.name: model
    for model in (
        Model(name="GPT-2 small", layers=12, width=768, heads=12),
        Model(name="GPT-2 medium", layers=24, width=1024, heads=16),
        Model(name="GPT-2 large", layers=36, width=1280, heads=20),
        Model(name="GPT-2 XL", layers=48, width=1600, heads=25),
        Model(name="GPT-3 small", layers=12, width=768, heads=12),
        Model(name="GPT-3 medium", layers=24, width=1024, heads=16),
        Model(name="GPT-3 large", layers=24, width=1536, heads=16),
        Model(name="GPT-3 XL", layers=24, width=2048, heads=16),
    )
}
