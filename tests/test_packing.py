# amaranth: UnusedElaboratable=no
"""Two products by one multiplier, as the array packs them: every one that there is of 4 bits, and of 8 bits beside the ends."""

import numpy as np
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.mac_array import MacArray


@pytest.mark.parametrize(("weight_bits", "multiplier_bits", "spacing"), [(8, 27, 18), (4, 18, 13), (4, 27, 17)])
def test_products_are_found_in_a_packed_one(weight_bits: int, multiplier_bits: int, spacing: int) -> None:
    array = MacArray(MachineParameters(weight_bits=weight_bits, multiplier_bits=multiplier_bits))
    most = (1 << weight_bits) - 1
    w0, a = np.arange(-most, most + 1)[:, None], np.arange(-256, 256)
    assert array.spacing == spacing
    assert np.abs(w0 * a).max() << array.room < 1 << (spacing - 1)  # sums of 2**room products, too
    for w1 in range(-most, most + 1) if weight_bits == 4 else (-most, 1 - most, -1, 0, 1, most - 1, most):
        packed = (w1 << spacing) + w0
        assert np.abs(packed).max() < 1 << (multiplier_bits - 1)
        product = packed * a
        low = product & ((1 << spacing) - 1)
        sign = low >> (spacing - 1)
        assert (low - (sign << spacing) == w0 * a).all()
        assert ((product >> spacing) + sign == w1 * a).all()


def test_what_does_not_fit_is_not_packed() -> None:
    assert MacArray(MachineParameters()).room < 0
