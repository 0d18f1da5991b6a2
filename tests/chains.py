"""Random networks of which operators follow each other row by row, so that they can be pipelines."""

import numpy as np
from celosia.sw import graph as ir
from celosia.tb.graphs import Builder


def random_chain(seed: int, *, most_rows: int = 24) -> ir.Graph:
    """Products, attention and row operators on one input, three to seven of them."""
    random, builder = np.random.default_rng(seed), Builder(seed)
    x = source = builder.tensor(int(random.integers(1, most_rows + 1)), int(random.integers(1, 20)), 8)
    bits = int(random.choice((8, 16)))
    for _ in range(random.integers(1, 4)):
        width = int(random.integers(1, 24))
        match random.integers(4):
            case 0:
                x = builder.attention(x, int(random.integers(1, 3)), width, bits=bits)
            case 1:
                x = builder.linear(builder.table(builder.linear(x, width, 8), 8), int(random.integers(1, 24)), 8)
            case 2:
                x = builder.rescale(builder.layernorm(builder.linear(x, width, 16), 16), 8)
            case _:
                x = builder.linear(builder.rescale(builder.gelu(builder.linear(x, width, 16), 8), 8), width, 8)
    return builder.graph([source], [builder.linear(x, int(random.integers(1, 24)), bits)])
