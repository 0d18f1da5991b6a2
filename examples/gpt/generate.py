"""Text that is continued greedily: `python -m examples.gpt.generate "In the beginning"` in the checkout, by the integer executor.

Or by the simulated machine of a folder that `celosia compile` wrote for a machine with a pim: `... "In the beginning" out`.
"""

import sys
from collections.abc import Iterator

import numpy as np
from celosia.gen.project import build_simulator
from celosia.sw import open_device
from celosia.sw.driver.decoder import Decoder

from .model import Logits, integer_executor
from .quantize import CONTEXT, QDQ_MODEL
from .text import decode, encode


def generate(logits: Logits, prompt: str, count: int) -> str:
    """The ``count`` characters after the prompt: each the likeliest after the CONTEXT characters before it, all of which are run anew.

    Raises ValueError on an empty prompt, or a character that the vocabulary has not.
    """
    tokens = encode(prompt).tolist()
    if not tokens:
        raise ValueError("the prompt must have a character")
    for _ in range(count):
        seen = tokens[-CONTEXT:]
        window = np.zeros(CONTEXT, np.int64)  # what comes after those seen does not matter: none attends to it
        window[: len(seen)] = seen
        tokens.append(int(logits(window)[len(seen) - 1].argmax()))
    return decode(tokens[len(prompt) :])


def on_machine(decoder: Decoder, prompt: str) -> Iterator[str]:
    """The characters after the prompt as they come, as many as the decoder has room for. Raises ValueError as `generate`."""
    return (decode([token]) for token in decoder.generate(encode(prompt).tolist(), "next"))


def main(prompt: str, folder: str = "") -> None:
    print(prompt, end="", flush=True)
    if not folder:
        print(generate(integer_executor(QDQ_MODEL), prompt, CONTEXT))
        return
    build_simulator(folder)
    with Decoder(open_device(folder)) as decoder:
        for character in on_machine(decoder, prompt):
            print(character, end="", flush=True)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
