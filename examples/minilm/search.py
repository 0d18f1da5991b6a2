"""The nearest verses to a sentence, which the simulated machine embeds: `python -m examples.minilm.search "Who is wise?"` in the checkout.

Without a sentence it asks for one after the other. The verses are embedded by the integer executor, once; it gives the machine's numbers.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from .machine import Machine, by_executor, by_length, for_tokens, real, simulator
from .quantize import BUILD, qdq_model
from .text import CONTEXT, encode, verses

BITS = 8
NEAREST = 5
console = Console()


def corpus() -> NDArray[np.float64]:
    """The verses' embeddings, [N, WIDTH], kept in the build folder."""
    path, model = BUILD / f"verses-w{BITS}a8.npy", qdq_model(BITS)
    if not path.exists():
        found = dict[int, NDArray]()
        tokens = [encode(verse) for verse in verses()]
        for length, places in track(list(by_length(tokens)), "verses, by the integer executor", console=console):
            graph = for_tokens(model, length)
            found |= {place: real(graph, by_executor(graph, tokens[place])) for place in places}
        np.save(path, np.stack([found[place] for place in sorted(found)]))
    return np.load(path)


def nearest(vector: NDArray, vectors: NDArray, count: int) -> list[int]:
    """The places of the ``count`` of [N, WIDTH] vectors whose cosine with it is the largest, the largest first. All have length 1."""
    return np.argsort(-(vectors @ vector), kind="stable")[:count].tolist()


def answers(machine: Machine, sentences: Iterable[str], texts: Sequence[str], vectors: NDArray) -> Iterator[str]:
    """For each sentence, as it comes, what is near it."""
    for sentence in sentences:
        tokens = encode(sentence)
        if tokens.size > CONTEXT:
            yield f"at most {CONTEXT} tokens, not {tokens.size}"
            continue
        with console.status(f"{tokens.size} tokens: compiling, then simulating"):
            machine.load(qdq_model(BITS), tokens.size)
            run = machine.run(tokens)
        vector = real(machine.graph, run.integers)
        yield f"{run.counters['cycles']:,} cycles, simulated in {run.seconds:.0f} s of the processor"
        yield from (f"{vectors[place] @ vector:.3f}  {texts[place]}" for place in nearest(vector, vectors, NEAREST))


def asked() -> Iterator[str]:
    """What is typed, until nothing is."""
    while sentence := console.input("sentence: "):
        yield sentence


def main(sentences: Sequence[str]) -> None:
    vectors = corpus()
    with console.status("building the simulator (some minutes)"):
        library = simulator(qdq_model(BITS))
    for line in answers(Machine(library), sentences or asked(), verses(), vectors):
        console.print(line, highlight=False)


if __name__ == "__main__":
    main(sys.argv[1:])
