"""Where the matrices of a causal network lie in DRAM that computes, and its keys and values."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ...rtl.arch.dram import Dram
from .. import graph as ir
from .cache import CacheMap, best_cache
from .errors import DecoderError
from .mapping import Image, MatrixMap


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """matrices: of products with constants, caches: of scores and of weighted values, which are the same of a layer; by the operators'
    names. tokens: that there is room for."""

    dram: Dram
    tokens: int
    matrices: Mapping[str, MatrixMap]
    caches: Mapping[str, CacheMap]

    def image(self, graph: ir.Graph, names: Container[str]) -> Image:
        """What the rows with the matrices of these operators hold."""
        found: dict[tuple[int, int, int], np.ndarray] = {}
        for op in graph.operators:
            if isinstance(op, ir.MatMul) and op.name in self.matrices and op.name in names:
                found |= self.matrices[op.name].image(matrix_of(op))
        return found


def place(graph: ir.Graph, dram: Dram) -> Placement:
    """All matrices and caches, one after the other, for the graph of a sequence of one input of tokens.

    Raises DecoderError for a graph that is none, or has a product that the DRAM can't compute a token at a time, MappingError where the
    device is too small.
    """
    looked_up = {op.numbers.tensor.name for op in graph.operators if isinstance(op, ir.Fetch) and op.numbers}
    if {port.tensor.name for port in graph.inputs} != looked_up or len(looked_up) != 1:
        names = ", ".join(port.name for port in graph.inputs)
        raise DecoderError(f"a decoder has one input, the tokens of a sequence, whose rows it looks up, not {names}")
    (port,) = graph.inputs
    tokens, row = port.tensor.cols, 0
    matrices, caches = dict[str, MatrixMap](), dict[str, CacheMap]()
    for op in products(graph):
        _check(op, tokens)
        if _is_constant(op):
            m, k = matrix_of(op).shape
            matrices[op.name] = MatrixMap(dram=dram, m=m, k=k, row=row)
            row += matrices[op.name].rows
        elif op.b_transposed:
            cache = best_cache(dram, len(op.parts), op.parts[0].b.cols, tokens, row)
            caches[op.name] = caches[_weighted_with(graph, op).name] = cache
            row += cache.rows
    for op in products(graph):
        if op.name not in matrices and op.name not in caches:
            raise DecoderError(f"{op.node}: what is weighted with no softmax of scores can't be decoded ({op})")
    return Placement(dram=dram, tokens=tokens, matrices=matrices, caches=caches)


def products(graph: ir.Graph) -> Iterator[ir.MatMul]:
    return (op for op in graph.operators if isinstance(op, ir.MatMul))


def matrix_of(op: ir.MatMul) -> np.ndarray:
    """The constants [outputs, inputs] of a product, int8."""
    b = op.parts[0].b
    assert b.tensor.data is not None
    return np.ascontiguousarray(b.tensor.data[b.slices].astype(np.int8))


def _is_constant(op: ir.MatMul) -> bool:
    return op.parts[0].b.tensor.data is not None


def _weighted_with(graph: ir.Graph, scores: ir.MatMul) -> ir.MatMul:
    """The product of the softmax of these scores with values."""
    made = scores.parts[0].out.tensor
    softmax = next((op for op in graph.operators if isinstance(op, ir.Softmax) and op.a.tensor is made), None)
    found = next((op for op in products(graph) if softmax and op.parts[0].a.tensor is softmax.out.tensor), None)
    if found is None or len(found.parts) != len(scores.parts):
        raise DecoderError(f"{scores.node}: the softmax of these scores must weight values ({scores})")
    if softmax and found.parameters.a_zero_point != softmax.parameters.out_zero_point:
        raise DecoderError(f"{found.node}: tokens that the mask leaves out must weigh nothing ({found})")
    return found


def _check(op: ir.MatMul, tokens: int) -> None:
    """Raises DecoderError for a product that the DRAM can't compute a row at a time."""

    def require(condition: bool, reason: str) -> None:
        if not condition:
            raise DecoderError(f"{op.node}: {reason} ({op})")

    parameters = op.parameters
    require(not (op.window or op.groups or op.shift or op.table or op.residual), "only plain products can be decoded")
    require(all(part.a.rows == part.out.rows == tokens for part in op.parts), f"it must have a row for each of {tokens} tokens")
    require(parameters.b_zero_point == 0, "the zero point of weights, keys and values must be 0")
    if _is_constant(op):
        require(len(op.parts) == 1 and op.b_transposed and op.parts[0].b.is_whole, "the constants must be a whole matrix [outputs, inputs]")
    elif op.b_transposed:
        require(parameters.a_zero_point == 0, "the zero point of queries must be 0")
