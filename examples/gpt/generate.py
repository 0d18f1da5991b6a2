"""Text that the integer executor continues greedily: `python -m examples.gpt.generate "In the beginning"` in the checkout."""

import sys

import numpy as np

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


def main(prompt: str) -> None:
    print(prompt + generate(integer_executor(QDQ_MODEL), prompt, CONTEXT))


if __name__ == "__main__":
    main(sys.argv[1])
