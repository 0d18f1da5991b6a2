"""Operations that move no data: the importer's order of elements against ONNX Runtime's."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from celosia.sw.frontend.movement import MOVES
from celosia.sw.frontend.onnx_file import Node
from numpy.typing import NDArray
from onnx_models import Net

CASES: dict[str, tuple[str, tuple[int, ...], list[list[int] | int], dict[str, Any]]] = {
    "reshape": ("Reshape", (2, 3, 4), [[4, 6]], {}),
    "reshape, rest and kept": ("Reshape", (2, 3, 4), [[0, -1]], {}),
    "transpose": ("Transpose", (2, 3, 4), [], {"perm": [2, 0, 1]}),
    "transpose, reversed": ("Transpose", (2, 3, 4), [], {}),
    "squeeze all": ("Squeeze", (1, 3, 1), [], {}),
    "squeeze one": ("Squeeze", (1, 3, 1), [[-1]], {}),
    "unsqueeze": ("Unsqueeze", (3, 4), [[0, -1]], {}),
    "flatten": ("Flatten", (2, 3, 4), [], {}),
    "flatten from the end": ("Flatten", (2, 3, 4), [], {"axis": -1}),
    "flatten all": ("Flatten", (2, 3, 4), [], {"axis": 0}),
    "split by sizes": ("Split", (2, 9), [[2, 3, 4]], {"axis": 1}),
    "split by number": ("Split", (8, 2), [], {"num_outputs": 3}),
    "slice": ("Slice", (5, 6), [[1], [4]], {}),
    "slice by axes": ("Slice", (5, 6), [[-3, 1], [2**40, -1], [1, 0]], {}),
    "slice by steps": ("Slice", (5, 6), [[0, 5], [5, 0], [0, 1], [2, -2]], {}),
    "slice backwards to the start": ("Slice", (5, 6), [[-1], [-(2**40)], [1], [-1]], {}),
    "gather one": ("Gather", (5, 6), [3], {"axis": 1}),
    "gather several": ("Gather", (5, 6), [[-1, 0, 2]], {}),
    "identity": ("Identity", (5, 6), [], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_order_of_elements(case: str) -> None:
    op_type, shape, parameters, attributes = CASES[case]
    net, arrays = Net(), [np.asarray(p, np.int64) for p in parameters]
    x = net.input(*shape)
    outputs = net.op(op_type, x, *map(net.constant, arrays), outputs=3 if op_type == "Split" else 1, **attributes)
    outputs = (outputs,) if isinstance(outputs, str) else outputs
    index = np.arange(np.prod(shape)).reshape(shape)
    session = onnxruntime.InferenceSession(net.model(*outputs).SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {x: index.astype(np.float32)})
    node = Node(name="moved", op_type=op_type, inputs=(x, *"abcd"[: len(arrays)]), outputs=outputs, attributes=attributes)

    def integers(_: Node, slot: int) -> NDArray | None:
        return arrays[slot - 1] if slot <= len(arrays) else None

    found = MOVES[op_type](node, integers, index)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=False)


def test_repeated_elements_are_refused() -> None:
    node = Node(name="moved", op_type="Gather", inputs=("x", "positions"), outputs=("y",), attributes={})
    with pytest.raises(ValueError, match="it repeats elements"):
        MOVES["Gather"](node, lambda node, slot: np.array([1, -2]), np.arange(3))
