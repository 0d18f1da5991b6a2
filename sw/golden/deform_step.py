"""A step of the machine's deformable convolution engine."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.deform import ONE, DeformCircuit, Form
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import ADDRESS_BITS
from .deform import Deformation, deform
from .matmul import MatMulParameters
from .narrow import from_narrow
from .records import requantization
from .requantize import Int

Read = Callable[[NDArray[np.int64], str], NDArray[np.uint8]]  # the words at addresses, by a port


def deform_step(c: Mapping[str, int], p: MachineParameters, read: Read) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Addresses of the results' words, and these. c: fields of `DEFORM`.

    Raises ValueError where the engine refuses the step, or would not do what it says.
    """
    if p.deform is None:
        raise ValueError("a machine without deform_kernel has no such step")
    deformation = _deformation(c, p.deform)
    groups, out = c["groups"], (c["lines"], c["columns"])

    def matrix(name: str, elements: int, *, wide: bool = False) -> Int:
        dtype = np.dtype(np.int16 if wide else np.int8)
        places = _places(c, name, *out, f"{name}_stride", -(-elements * dtype.itemsize // p.word_bytes))
        return read(places, f"read_{name}").reshape(out[0] * out[1], -1).view(dtype)[:, :elements].astype(np.int64)

    octets = read(_places(c, "a", c["height"], c["width"], "a_pixel", groups), "read_a")
    pixels = octets.reshape(c["height"] * c["width"], -1).view(np.int8).astype(np.int64)
    kernels, parameters = _kernels(c, p, read)
    offsets = matrix("offsets", deformation.offsets, wide=bool(c["offset_wide"])) if deformation.offsets else None
    masks = matrix("masks", deformation.taps) if c["masked"] else None
    results = deform(pixels, offsets, masks, kernels, deformation, parameters)
    taps = np.arange(deformation.taps if c["by_tap"] else 1)[:, None] * c["out_tap"]
    addresses = (_places(c, "out", *out, "out_pixel", groups)[:, :, None] + taps) % (1 << ADDRESS_BITS)
    return addresses, results.astype(np.int8).view(np.uint8).reshape(*addresses.shape, -1)


def _deformation(c: Mapping[str, int], circuit: DeformCircuit) -> Deformation:
    """Raises ValueError where the circuit can't do it."""
    own = {name: c[name] for name in ("height", "width", "lines", "columns", "y_start", "x_start", "dilation", "fraction")}
    limits = {name: c[name] for name in ("offset_zero_point", "offset_low", "offset_high", "mask_zero_point")}
    kinds = {"form": Form(c["form"]), "masked": bool(c["masked"]), "by_tap": bool(c["by_tap"]), "strides": (c["y_step"], c["x_step"])}
    deformation = Deformation(**own, **limits, **kinds, kernel=circuit.kernel)
    forms = deformation.form <= (Form.FREE if circuit.free else Form.SQUARE)
    kinds = (circuit.masked or not deformation.masked) and (circuit.bilinear or not deformation.fraction)
    if not (forms and kinds and c["groups"] and deformation.width <= circuit.width and c["reach"] <= circuit.reach):
        raise ValueError(f"{circuit} can't do {deformation}")
    if deformation.farthest > c["reach"] * ONE or max(abs(c["y_start"]), abs(c["x_start"])) > c["reach"]:
        raise ValueError(f"a reach of {c['reach']} is too little for {deformation}")
    return deformation


def _places(c: Mapping[str, int], name: str, lines: int, columns: int, stride: str, words: int) -> NDArray[np.int64]:
    """Addresses [lines, columns, words] of a matrix of pixels."""
    line, column, word = np.ogrid[:lines, :columns, :words]
    return (c[name] + line * c[f"{name}_line"] + column * c[stride] + word) % (1 << ADDRESS_BITS)


def _kernels(c: Mapping[str, int], p: MachineParameters, read: Read) -> tuple[Int, MatMulParameters]:
    """Weights [channels, taps], and the channels' requantization."""
    groups, taps = c["groups"], p.deform_kernel**2
    words = read((c["b"] + np.arange(groups * p.deform_group_words)) % (1 << ADDRESS_BITS), "read_b").reshape(groups, -1)
    weights, records = np.split(words, [p.deform_weight_words * p.word_bytes], axis=1)
    kernels = from_narrow(weights, p.weight_bits)[:, : taps * p.word_bytes].reshape(groups, taps, -1)
    parameters = requantization(c, records.reshape(-1, 8), a_zero_point=c["a_zero_point"])
    return kernels.transpose(0, 2, 1).reshape(-1, taps), parameters
