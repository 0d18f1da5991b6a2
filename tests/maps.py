"""Random networks of maps of one or two channels."""

import random
from contextlib import suppress

from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.window import Window
from celosia.sw import graph as ir
from celosia.tb.graphs import Builder


def random_maps(seed: int, *, channels: int = 0) -> ir.Graph:
    """A few operators that follow each other, convolutions most of all. channels: of all maps, or 0 for any."""
    rng, builder = random.Random(seed), Builder(seed)
    width, height = 4 * rng.randint(1, 5), 2 * rng.randint(2, 8)
    x = builder.tensor(width * height, channels or rng.randint(1, 2), 8)
    inputs = [x]
    for _ in range(rng.randint(1, 4)):
        window = _window(rng, height, width)
        x = builder.convolution(x, channels or rng.choice((1, 1, 2)), 8, window)
        height, width = window.lines, window.columns
        match rng.choice(("", "halved", "doubled", "table", "multiply", "add")):
            case "halved" if x.cols == 1 and height % 2 == width % 2 == 0:
                x, height, width = builder.halved(x, width), height // 2, width // 2
            case "doubled" if x.cols == 1 and x.rows < 400:
                x, height, width = builder.doubled(x, width), 2 * height, 2 * width
            case "table":
                x = builder.table(x, 8)
            case "multiply" | "add" as kind:
                inputs.append(builder.tensor(x.rows, x.cols, 8))
                x = (builder.multiply if kind == "multiply" else builder.add)(x, inputs[-1], 8)
            case _:
                pass
    return builder.graph(inputs, [x])


def _window(rng: random.Random, height: int, width: int) -> Window:
    """One that keeps the map's size, if it is one of the likelier ones."""
    if rng.random() < 0.85:
        return Window(height=height, width=width, kernel=(3, 3), pads=(1, 1, 1, 1))
    while True:
        with suppress(ParameterError):
            kernel, strides = ((rng.randint(1, most), rng.randint(1, most)) for most in (5, 2))
            pads = tuple(rng.randint(0, 2) for _ in range(4))
            return Window(height=height, width=width, kernel=kernel, strides=strides, pads=(pads[0], pads[1], pads[2], pads[3]))
