"""Random commands for the deformable convolution engine."""

import random

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.deform import ONE, DeformCircuit, Form
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.steps import CHANNEL
from .regions import Regions, noise


def deform(rng: random.Random, p: MachineParameters) -> tuple[list[dict[str, int]], NDArray[np.uint8]]:
    """Any form that the machine has, with offsets and masks of noise."""
    c = p.deform
    assert c is not None
    regions, scratchpad = Regions(rng), noise(rng, p)
    reach, centre = rng.randint(c.kernel // 2, c.reach), c.kernel // 2
    groups = rng.choice((1, 1, 2, 3))
    form, masked = Form(rng.randint(0, Form.FREE if c.free else Form.SQUARE)), c.masked and rng.random() < 0.5
    sizes = {"height": rng.choice((1, rng.randint(1, 12))), "width": rng.choice((1, rng.randint(1, c.width)))}
    steps = {"y_step": rng.randint(1, 2), "x_step": rng.randint(1, 2)}
    starts = {name: rng.choice((0, rng.randint(-reach, reach))) for name in ("y_start", "x_start")}
    lines = rng.choice((1, -(-sizes["height"] // steps["y_step"]), rng.randint(1, 12)))
    columns = rng.choice((1, -(-sizes["width"] // steps["x_step"]), rng.randint(1, c.width)))
    wide, by_tap = rng.randint(0, 1), rng.random() < 0.2
    lines, columns = (min(lines, 3), min(columns, 8)) if by_tap else (lines, columns)  # which gives a word for each tap
    count = {Form.REGULAR: 0, Form.SQUARE: 1, Form.FREE: 2 * c.taps}[form]
    command = {**sizes, **steps, **starts, **_offsets(rng, c, form, reach, wide), "lines": lines, "columns": columns, "groups": groups}
    command |= {
        "reach": reach,
        "form": form,
        "by_tap": int(by_tap),
        "out_tap": groups,
        "offset_wide": wide,
        "masked": int(masked),
        "mask_zero_point": rng.randint(-128, 127),
    }
    matrices = {
        "a": (sizes["height"], sizes["width"], groups),
        "offsets": (lines, columns, -(-(count << wide) // p.word_bytes)),
        "masks": (lines, columns, -(-c.taps // p.word_bytes) * masked),
        "out": (lines, columns, groups * (c.taps if by_tap else 1)),
    }
    for name, (rows, pixels, words) in matrices.items():
        pixel = words + rng.choice((0, 0, 1))
        stride = "stride" if name in ("offsets", "masks") else "pixel"
        address, line = regions.matrix(rows, pixels * pixel)
        command |= {name: address, f"{name}_{stride}": pixel, f"{name}_line": line}
    command["b"], _ = regions.matrix(1, groups * p.deform_group_words)
    if regions.end > p.scratchpad_words:
        return deform(rng, p)
    records = command["b"] + p.deform_weight_words + np.arange(groups)[:, None] * p.deform_group_words + np.arange(8)
    scratchpad[records] = np.frombuffer(_records(rng, groups * p.word_bytes), np.uint8).reshape(*records.shape, -1)
    low, high = sorted(rng.choice((-128, 127, rng.randint(-128, 127))) for _ in range(2))
    command |= {"a_zero_point": rng.randint(-128, 127), "out_zero_point": rng.randint(-128, 127), "low": low, "high": high}
    assert centre * command["dilation"] <= reach
    return [command], scratchpad


def _offsets(rng: random.Random, c: DeformCircuit, form: Form, reach: int, wide: int) -> dict[str, int]:
    """What offsets are limited to, so that no tap lies beyond the reach."""
    centre, fraction = c.kernel // 2, rng.choice((0, rng.randint(0, 4 * c.bilinear)))
    dilation = rng.randint(0, reach // centre)
    most = (reach * ONE // centre if form is Form.SQUARE else reach * ONE - centre * dilation * ONE) * (1 << fraction) // ONE
    base = dilation << fraction if form is Form.SQUARE else 0
    low, high = sorted(rng.choice((-most, most, rng.randint(-most, most))) - base for _ in range(2))
    zero_point = rng.choice((0, rng.randint(-128, 127), rng.randint(-32768, 32767) * wide))
    return {"dilation": dilation, "fraction": fraction, "offset_low": low, "offset_high": high, "offset_zero_point": zero_point}


def _records(rng: random.Random, channels: int) -> bytes:
    """Whose sums with a bias fit int32."""
    fields = [
        {"bias": rng.randint(-(1 << 24), 1 << 24), "multiplier": rng.getrandbits(16), "shift": rng.randint(12, 40)} for _ in range(channels)
    ]
    return b"".join(CHANNEL.pack(record).to_bytes(8, "little") for record in fields)
