"""The error of each block against its input: `nox -s errors` draws docs/blocks/*.svg.

Each picture shows the lowest and highest error in output steps, before the exact result is rounded, over the blocks' golden models; the
hardware equals them on every bit.
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from celosia.rtl.arch.activation import LINEAR, ActivationCircuit, Function
from celosia.rtl.arch.attention import AttentionCircuit
from celosia.rtl.arch.formats import INT8, INT16, UINT8, UINT16, Format
from celosia.rtl.arch.layernorm import Z_FRACTION_BITS
from celosia.rtl.arch.softmax import SoftmaxCircuit
from celosia.sw.golden.activation import ActivationParameters, activation, real
from celosia.sw.golden.attention import AttentionParameters, attention
from celosia.sw.golden.layernorm import LayerNormParameters, layernorm
from celosia.sw.golden.layernorm import error_bound as layernorm_bound
from celosia.sw.golden.softmax import SoftmaxParameters, error_bound, softmax
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray
from rich.progress import track

PAGES = Path(__file__).parents[1] / "docs" / "blocks"
COLOUR, BOUND = "#3b6ea8", "#c8553d"
BINS = 160
RANDOM = np.random.default_rng(1)


def envelope(axes: Axes, x: NDArray, error: NDArray, title: str) -> NDArray:
    """Lowest and highest error in each of BINS parts of x that holds any; gives the parts' middles."""
    edges = np.linspace(x.min(), x.max(), BINS + 1)
    part = np.clip(np.digitize(x, edges) - 1, 0, BINS - 1)
    filled = np.unique(part)
    low, high = (np.array([end(error[part == i]) for i in filled]) for end in (np.min, np.max))
    middles = (edges[filled] + edges[filled + 1]) / 2
    axes.fill_between(middles, low, high, color=COLOUR, alpha=0.7, linewidth=0, step="mid", label="measured")
    axes.axhline(0, color="#444444", linewidth=0.5)
    axes.set_title(f"{title}, {x.size:,} results", fontsize=10)
    return middles


def bound(axes: Axes, x: NDArray, steps: NDArray | float) -> None:
    """The derived bound, with the output's rounding."""
    for sign in (-1, 1):
        axes.plot(x, sign * (np.zeros_like(x) + steps), color=BOUND, linewidth=1, label="derived bound" if sign > 0 else None)


def exact_softmax(x: NDArray) -> NDArray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def score_rows(n: int) -> NDArray:
    """Real scores: rows of many spreads, some with one large score over many small ones."""
    rows = RANDOM.normal(0, 1, (400, n)) * RANDOM.uniform(0.1, 8, (400, 1))
    rows[::4, 0] = rows[::4].max(axis=1) + RANDOM.uniform(0, 9, 100)
    return rows


def draw_softmax(axes: Axes, source: Format, out: Format) -> None:
    n, scale = 256, 60 / (source.max - source.min)
    circuit = SoftmaxCircuit(lanes=8, source=source, out=out)
    q = np.clip(np.rint(score_rows(n) / scale), source.min, source.max).astype(np.int64)
    exact = exact_softmax(q * scale)
    error = softmax(q, SoftmaxParameters.from_scales(circuit, in_scale=scale), circuit) - exact * out.max
    below = (q - q.max(axis=1, keepdims=True)) * scale
    shown = below > -16
    middles = envelope(axes, below[shown], error[shown], f"{source} to {out}")
    largest = np.minimum(1, np.exp(middles))  # no probability is above that of the distance to the largest score
    worst = [max(error_bound(p, n, out.bits) for p in np.linspace(0, top, 50)) * out.max + 0.5 for top in largest]
    bound(axes, middles, np.array(worst))
    axes.set_xlabel("score less the row's largest")


def draw_layernorm(axes: Axes, source: Format, out: Format) -> None:
    n, out_scale = 384, 8 / out.max
    q = np.clip(np.rint(RANDOM.normal(0, 1, (400, n)) ** 3 * source.max / 30 + 50), source.min, source.max).astype(np.int64)
    parameters = LayerNormParameters.from_scales(
        in_scale=0.001, gamma=np.ones(n), epsilon=1e-5, out_scale=out_scale, out_zero_point=0, out=out
    )
    x = q * 0.001
    z = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    shown = np.abs(z) < 8
    error = layernorm(q, parameters, out) - z / out_scale
    middles = envelope(axes, z[shown], error[shown], f"{source} to {out}")
    gamma_unit = 2.0 ** (Z_FRACTION_BITS - parameters.shift)
    bound(axes, middles, 0.5 + layernorm_bound(middles) / out_scale + np.abs(middles) * gamma_unit / 2)
    axes.set_xlabel("normalised value")


def draw_attention(axes: Axes, source: Format, out: Format) -> None:
    n, scale = 197, 60 / (source.max - source.min)
    step = 1.0 if out.bits == 8 else 1 / 128  # in steps of a value
    circuit = AttentionCircuit(source=source, out=out)
    q = np.clip(np.rint(score_rows(n) / scale), source.min, source.max).astype(np.int64)
    values = RANDOM.integers(-128, 128, (n, 16))
    parameters = AttentionParameters.of(circuit, in_scale=scale, value_scale=1.0, out_scale=step)
    mean = exact_softmax(q * scale) @ values
    error = attention(q, values, parameters, circuit) - mean / step
    shown = np.abs(mean) < 127
    middles = envelope(axes, mean[shown], error[shown], f"{source} scores to {out}")
    bound(axes, middles, 1.0 if out.bits == 8 else 2.0)
    axes.set_xlabel("weighted mean, in steps of a value")


def draw_activation(function: Function) -> Callable[[Axes, Format, Format], None]:
    """Over all 65,536 arguments of 16 bits, up to 8; of exp up to 0."""

    def draw(axes: Axes, source: Format, out: Format) -> None:
        circuit = ActivationCircuit(function=function, source=source, out=out)
        zero_point = source.max if function is Function.EXP else 0
        in_scale = 8 / (source.max if zero_point == 0 else source.max - source.min)
        out_scale = (8 if function in LINEAR else 1) / out.max
        scales = {"in_scale": in_scale, "in_zero_point": zero_point, "out_scale": out_scale, "out_zero_point": 0}
        q = np.arange(source.min, source.max + 1)
        x = (q - zero_point) * in_scale
        steps = real(function, x) / out_scale
        shown = steps <= out.max
        error = activation(q, ActivationParameters.from_scales(circuit, **scales), circuit) - steps
        middles = envelope(axes, x[shown], error[shown], f"{function.value}, {source} to {out}")
        bound(axes, middles, 2.0)
        axes.set_xlabel("argument")

    return draw


PICTURES: dict[str, list[tuple[Callable[[Axes, Format, Format], None], Format, Format]]] = {
    "activation": [(draw_activation(function), INT16, INT16) for function in Function],
    "softmax": [(draw_softmax, INT8, UINT8), (draw_softmax, INT16, UINT16)],
    "layernorm": [(draw_layernorm, INT16, INT8), (draw_layernorm, INT16, INT16)],
    "attention": [(draw_attention, INT8, INT8), (draw_attention, INT16, INT16)],
}


def main() -> None:
    mpl.use("agg")
    mpl.rcParams |= {"svg.hashsalt": "celosia", "svg.fonttype": "none", "font.size": 9}
    for name, panels in track(PICTURES.items(), description="drawing"):
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        figure, grid = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.1 * rows), constrained_layout=True, squeeze=False)
        for axes, (draw, source, out) in zip(grid.flat, panels, strict=False):
            draw(axes, source, out)
            axes.set_ylabel("error in output steps")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
        figure.savefig(PAGES / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
