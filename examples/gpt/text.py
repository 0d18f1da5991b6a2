"""The text as tokens, one a character: the parts in this folder, and the whole from Debian's package."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
VOCABULARY = "\n !'(),-.:;?ABCDEFGHIJKLMNOPQRSTUVWYZabcdefghijklmnopqrstuvwxyz"  # all characters of the text
PARTS = {"calibration": ("Ruth",), "test": ("Est", "Eccl", "Jas")}  # books, of which nothing is trained on


def encode(text: str) -> NDArray[np.int64]:
    """The token of each character. Raises ValueError on one that the vocabulary has not."""
    unknown = sorted(set(text) - set(VOCABULARY))
    if unknown:
        raise ValueError(f"the text must have the characters of the vocabulary alone, not {unknown[0]!r}")
    return np.array([VOCABULARY.index(character) for character in text], np.int64)


def decode(tokens: Iterable[int]) -> str:
    return "".join(VOCABULARY[token] for token in tokens)


def read_part(name: str) -> str:
    """The text of a part in this folder: ``calibration`` or ``test``."""
    return (HERE / f"{name}.txt").read_text()


def windows(text: str, length: int) -> NDArray[np.int64]:
    """The text's tokens in rows of ``length``, without what is left over: [N, length]."""
    tokens = encode(text)
    return tokens[: len(tokens) // length * length].reshape(-1, length)


def read_books() -> dict[str, str]:
    """All books by their short names, a verse a line, from the packages bible-kjv and bible-kjv-text."""
    verses = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], check=True, capture_output=True, text=True).stdout
    books: dict[str, str] = {}
    for book, verse in re.findall(r"^(\d?[A-Za-z]+)\d+:\d+ (.*)$", verses, re.MULTILINE):
        books[book] = books.get(book, "") + verse.strip() + "\n"
    return books
