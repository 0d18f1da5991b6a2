"""The importance of tokens and the picked ones, by hand."""

import numpy as np
from celosia.sw.golden.importance import MODULUS, add_attention, pick


def test_attention_is_added_up_by_column() -> None:
    attention = [[-128, 127, -127], [-126, -128, -128]]
    assert add_attention([1, 2, MODULUS - 1], attention, -128).tolist() == [3, 257, 0]


def test_picks_the_most_important_of_equal_ones_the_first() -> None:
    picked, importance = pick([5, 9, 5, 7], 3, 0)
    assert (picked.tolist(), importance.tolist()) == ([0, 1, 3], [5, 9, 7])


def test_protected_tokens_stay() -> None:
    before = np.array([0, 1, 9, 8])
    picked, importance = pick(before, 2, 1)
    assert (picked.tolist(), importance.tolist()) == ([0, 2], [MODULUS - 1, 9])
    assert before.tolist() == [0, 1, 9, 8]
