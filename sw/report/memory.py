"""The memory plan as a picture: addresses against steps."""

from typing import TYPE_CHECKING

from ..compiler.memory_map import MemoryMap, Place
from .svg import svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"constant": "#b8c4cf", "tensor": "#3b6ea8", "stored, to be loaded again": "#c8553d", "loaded": "#d9a441"}
LEAST_LABEL = 0.02  # of the scratchpad, and of the steps, that a place must have for its name to be written
CHARACTERS = 110  # of names side by side, about


def memory_picture(memory: MemoryMap) -> str:
    """SVG: each place a rectangle, from its first step to its last one; spills and what comes again in other colours."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    kib = memory.word_bytes / 1024
    for place in memory.places:
        _draw(axes, place, memory, kib)
    if memory.staging < memory.words:
        axes.axhspan(memory.staging * kib, memory.words * kib, facecolor="#eeeeee", edgecolor="none")
        axes.text(0.1, (memory.staging + memory.words) / 2 * kib, "staging: what passes through", fontsize=7, color="#666666", va="center")
    axes.set_xlim(0, len(memory.steps))
    axes.set_ylim(0, memory.words * kib)
    axes.set_xlabel("operator, in the order in which they run")
    axes.set_ylabel("address in the scratchpad, KiB")
    axes.legend(
        handles=[Patch(color=colour, label=kind) for kind, colour in KINDS.items()],
        fontsize=7,
        ncols=len(KINDS),
        loc="upper left",
        bbox_to_anchor=(0, 1.08),
        frameon=False,
    )
    return svg_of(figure)


def _draw(axes: "Axes", place: Place, memory: MemoryMap, kib: float) -> None:
    from matplotlib.patches import Rectangle

    kind = "constant" if place.lasting else "stored, to be loaded again" if place.spilled else "loaded" if place.fetched else "tensor"
    steps = place.last - place.first + 1
    corner = place.first, place.address * kib
    axes.add_patch(Rectangle(corner, steps, place.words * kib, facecolor=KINDS[kind], edgecolor="white", linewidth=0.4))
    room = int(CHARACTERS * steps / len(memory.steps))
    if place.words >= LEAST_LABEL * memory.words and room >= 3:
        name = place.tensor if len(place.tensor) <= room else f"…{place.tensor[1 - room :]}"
        middle = place.first + steps / 2, (place.address + place.words / 2) * kib
        axes.text(*middle, name, fontsize=6, ha="center", va="center", color="black" if place.lasting else "white", clip_on=True)
