"""Embeddings of real sentences by the simulated machine, beside the float network's: `nox -s minilm` writes README.md of this folder."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
from celosia.gen.pages import write_section
from celosia.sw.quantize.runtime import session
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.stats import rankdata

from ..length import shortened
from .cycles import part_lines, profile, run_lines
from .machine import Machine, Run, by_executor, by_length, normalized, real, simulator
from .quantize import RECIPES, float_model, qdq_model
from .text import HERE, encode, james, verses

WORKERS = 2  # simulators side by side
ABOUT = """
The verses of James, as examples/gpt/test.txt has them: {count} sentences of {shortest} to {longest} tokens, {all:,} in all. Nothing was
calibrated on them. The simulated machine embedded all of them; the cosines are those of its numbers.
"""
HEAD = (
    "| weights | cosine, mean | lowest | rank correlation | equal on every bit | processor seconds, mean | longest |",
    f"|---|{'---:|' * 6}",
)
LONG = """
One sentence of {tokens} tokens of the same text:
"""
console = Console()


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Of a sentence. vector: [WIDTH], of length 1. run: by the machine. equal: whether the integer executor has the same numbers."""

    vector: NDArray[np.float64]
    run: Run
    equal: bool


def embedded(library: Path, model: Path, sentences: Sequence[NDArray[np.int64]]) -> list[Embedded]:
    """Of sentences of as many tokens, [1, T] each."""
    machine, found = Machine(library), list[Embedded]()
    machine.load(model, sentences[0].size)
    for tokens in sentences:
        run = machine.run(tokens)
        equal = bool((run.integers == by_executor(machine.graph, tokens)).all())
        found.append(Embedded(vector=real(machine.graph, run.integers), run=run, equal=equal))
    return found


def embed(library: Path, model: Path, sentences: Sequence[NDArray[np.int64]]) -> list[Embedded]:
    """Of each sentence, by WORKERS processes, the longest first."""
    groups = [places for _, places in by_length(sentences)][::-1]
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        runs = pool.map(partial(embedded, library, model), [[sentences[place] for place in places] for places in groups])
        found = dict[int, Embedded]()
        for places, run in zip(groups, track(runs, f"{model.stem}, simulated", len(groups), console=console), strict=True):
            found |= zip(places, run, strict=True)
    return [found[place] for place in range(len(sentences))]


def by_float(sentences: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """[N, WIDTH], each of length 1: the float network in ONNX Runtime."""
    model, found = onnx.load(float_model()), dict[int, NDArray]()
    for length, places in by_length(sentences):
        network = session(shortened(model, length).SerializeToString())
        found |= {place: np.asarray(network.run(None, {"tokens": sentences[place]})[0])[0] for place in places}
    return normalized(np.stack([found[place] for place in range(len(sentences))]))


def similarities(vectors: NDArray) -> NDArray:
    """The cosines of each two of [N, WIDTH] vectors of length 1."""
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def rank_correlation(vectors: NDArray, others: NDArray) -> float:
    """Spearman's, of the similarities of each two."""
    return float(np.corrcoef(rankdata(similarities(vectors)), rankdata(similarities(others)))[0, 1])


def quality(name: str, expected: NDArray, found: Sequence[Embedded]) -> str:
    """A row of the table."""
    vectors = np.stack([one.vector for one in found])
    cosines, seconds = (vectors * expected).sum(axis=1), [one.run.seconds for one in found]
    cells = (
        *(name, f"{cosines.mean():.4f}", f"{cosines.min():.4f}", f"{rank_correlation(expected, vectors):.4f}"),
        *(f"{sum(one.equal for one in found)} of {len(found)}", f"{np.mean(seconds):.0f}", f"{max(seconds):.0f}"),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    sentences, longest = [encode(verse) for verse in james()], max(map(encode, verses()), key=np.size)
    models = {f"{bits} bits": qdq_model(bits) for bits in RECIPES}
    with console.status("building the simulator (some minutes)"):
        library = simulator(next(iter(models.values())))
    profiles = {name: profile(library, model, longest) for name, model in models.items()}
    expected = by_float(sentences)
    rows = [quality(name, expected, embed(library, model, sentences)) for name, model in models.items()]
    lengths = [sentence.size for sentence in sentences]
    about = ABOUT.format(count=len(lengths), shortest=min(lengths), longest=max(lengths), all=sum(lengths))
    name, first = next(iter(profiles.items()))
    parts = [f"\nIts parts, each of all layers, with weights of {name}; engines are at work side by side:\n", *part_lines(first.parts)]
    lines = [about, *HEAD, *rows, LONG.format(tokens=longest.size), *run_lines(profiles), *parts]
    write_section(HERE / "README.md", "minilm", "\n".join(lines))


if __name__ == "__main__":
    main()
