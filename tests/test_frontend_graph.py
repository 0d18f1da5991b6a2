"""The integer graph refuses what makes no sense."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.rtl.arch.formats import INT8
from celosia.sw.golden.activation import ActivationTable
from celosia.sw.golden.add import AddParameters
from celosia.sw.golden.matmul import MatMulParameters
from celosia.sw.golden.softmax import SoftmaxParameters, machine_circuit
from celosia.sw.graph import Add, Block, Graph, GraphInput, GraphOutput, MatMul, MatMulPart, Rescale, Residual, Softmax, Table, Tensor


def tensor(name: str = "t", rows: int = 4, cols: int = 6, bits: int = 8) -> Tensor:
    return Tensor(name=name, rows=rows, cols=cols, bits=bits, scale=0.5, zero_point=0)


SAME = AddParameters.from_scales(a_scale=1, a_zero_point=0, out_scale=1, out_zero_point=0, out=INT8)
PRODUCT = MatMulParameters.from_scales(
    a_scale=1, a_zero_point=0, b_scale=1, b_zero_point=0, bias=0, out_scale=1, out_zero_point=0, out=INT8, channels=4
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "rows and cols must be at least 1, not 0 and 6"),
        ({"bits": 2}, "bits must be 4, 8 or 16, or 2 of a constant, not 2"),
        ({"scale": 0.0}, "scale must be positive and finite, not 0.0"),
        ({"scale": float("nan")}, "scale must be positive and finite, not nan"),
        ({"zero_point": 128}, "zero_point must fit 8 bits, not 128"),
        ({"data": np.zeros((4, 6))}, r"data must be int8 of shape \(4, 6\), not float64 \(4, 6\)"),
        ({"data": np.zeros((6, 4), np.int8)}, r"data must be int8 of shape \(4, 6\), not int8 \(6, 4\)"),
    ],
)
def test_tensor(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        replace(tensor(), **change)


@pytest.mark.parametrize("place", [(-1, 0, 1, 1), (0, 0, 5, 6), (0, 3, 4, 4), (2, 2, 0, 1)])
def test_block(place: tuple[int, int, int, int]) -> None:
    row, col, rows, cols = place
    with pytest.raises(ValueError, match=r"^block must lie inside of its tensor, not t"):
        Block(tensor=tensor(), row=row, col=col, rows=rows, cols=cols)


def test_block_names_its_place() -> None:
    assert str(tensor().whole) == "t[4x6 int8]"
    assert str(Block(tensor=tensor(), row=1, col=2, rows=2, cols=3)) == "t[1:3, 2:5]"


def test_operators() -> None:
    a, b, wide = tensor("a"), tensor("b"), tensor("wide", bits=16)
    with pytest.raises(ValueError, match=r"^a and out must have one shape"):
        Rescale(name="r", node="r", a=a.whole, out=tensor(rows=3).whole, parameters=SAME)
    with pytest.raises(ValueError, match=r"^b must have the shape of a or one row"):
        Add(name="r", node="r", a=a.whole, b=tensor(rows=2).whole, out=b.whole, parameters=SAME)
    with pytest.raises(ValueError, match=r"^a, b and out must have matching shapes"):
        product(a, b, tensor(rows=4, cols=4), transposed=False)
    with pytest.raises(ValueError, match=r"^a must be int8, and b no more"):
        product(a, wide, tensor(rows=4, cols=4), transposed=True)
    grouped = replace(PRODUCT, factors=np.ones((4, 4), np.int64))
    with pytest.raises(ValueError, match=r"^b must be all columns of its tensor, in 4 groups, not b"):
        replace(product(a, b, tensor(rows=4, cols=4)), parameters=grouped)
    with pytest.raises(ValueError, match=r"^factors must be those of b \[N, K\], not of a convolution"):
        replace(product(a, tensor(rows=6, cols=4), tensor(rows=4, cols=4), transposed=False), parameters=grouped)
    added = Residual(r=tensor("r").whole, parameters=SAME)
    with pytest.raises(ValueError, match=r"^a residual must have the shape of the results of one part, not r\[4x6 int8\] of 1 like out"):
        replace(product(a, b, tensor("out", 4, 4)), residual=added)
    (part,) = product(a, b, tensor("out", 4, 4)).parts
    with pytest.raises(ValueError, match=r"^a residual must have the shape of the results of one part, not out\[4x4 int8\] of 2 like out"):
        MatMul(
            name="p", node="p", parts=(part, part), b_transposed=True, parameters=PRODUCT, residual=Residual(r=part.out, parameters=SAME)
        )


@pytest.mark.parametrize(("length", "rows"), [(0, 1), (1, 0), (1, 3)])
def test_masks(length: int, rows: int) -> None:
    parameters = SoftmaxParameters.from_scales(machine_circuit(lanes=1), in_scale=0.1, length=length, rows=rows)
    with pytest.raises(ValueError, match=r"^length and rows must be at least 1, and t\[4x6 int8\] be made of matrices of . rows$"):
        Softmax(name="s", node="s", a=tensor().whole, out=tensor("out").whole, parameters=parameters)


@pytest.mark.parametrize(
    ("bits", "entries", "message"),
    [
        (16, (0,) * 256, r"^a must be int8, not t\[4x6 int16\]$"),
        (8, (0,) * 255, r"^parameters must have 256 entries in -128..127$"),
        (8, (0,) * 255 + (128,), r"^parameters must have 256 entries in -128..127$"),
    ],
)
def test_tables(bits: int, entries: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Table(name="f", node="f", a=tensor(bits=bits).whole, out=tensor("out").whole, parameters=ActivationTable(entries))


def product(a: Tensor, b: Tensor, out: Tensor, *, transposed: bool = True) -> MatMul:
    part = MatMulPart(a=a.whole, b=b.whole, out=out.whole)
    return MatMul(name="product", node="node", parts=(part,), b_transposed=transposed, parameters=PRODUCT)


def test_graph() -> None:
    a, b, out = tensor("a"), tensor("b"), tensor("out", 4, 4)
    order = np.arange(24).reshape(4, 6)
    inputs = [
        GraphInput(name=t.name, shape=(24,), dtype=np.dtype("f4"), tensor=t, scale=0.5, zero_point=0, permutation=order) for t in (a, b)
    ]
    output = GraphOutput(name="y", shape=(16,), dtype=np.dtype("f4"), tensor=out, scale=0.5, zero_point=0, permutation=order[:, :4])
    operator, tensors = product(a, b, out), {t.name: t for t in (a, b, out)}
    graph = Graph(inputs=tuple(inputs), outputs=(output,), operators=(operator,), tensors=tensors)
    assert graph.macs() == 4 * 4 * 6
    assert str(graph).splitlines() == [
        "input a[24] float32: a[4x6 int8]",
        "input b[24] float32: b[4x6 int8]",
        "  out[4x4 int8] = MatMul(a[4x6 int8], b[4x6 int8])  # node",
        "output y[16] float32: out[4x4 int8]",
    ]
    with pytest.raises(ValueError, match=r"^operator product must not read b.* before it is written$"):
        replace(graph, inputs=(inputs[0],))
    with pytest.raises(ValueError, match=r"^output y must be written by an operator$"):
        replace(graph, operators=())
    with pytest.raises(ValueError, match=r"^operator names must be unique$"):
        replace(graph, operators=(operator, operator))
