"""The layers of attention of a graph."""

from dataclasses import dataclass

from .. import graph as ir


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Two products with a part for each head, and the softmax between them."""

    scores: ir.MatMul
    softmax: ir.Softmax
    mix: ir.MatMul

    @property
    def heads(self) -> int:
        return len(self.scores.parts)

    @property
    def queries(self) -> int:
        return self.scores.parts[0].a.rows

    @property
    def results(self) -> ir.Tensor:
        return self.mix.parts[0].out.tensor

    @property
    def operators(self) -> tuple[ir.MatMul, ir.Softmax, ir.MatMul]:
        return self.scores, self.softmax, self.mix


def layers_of(graph: ir.Graph) -> list[Layer]:
    layers = []
    for softmax in graph.operators:
        if isinstance(softmax, ir.Softmax):
            makers = [op for op in graph.operators if any(block.tensor is softmax.a.tensor for block in op.outputs)]
            readers = [op for op in graph.operators if any(block.tensor is softmax.out.tensor for block in op.inputs)]
            products = [op for op in (*makers, *readers) if not isinstance(op, ir.Pick)]  # which counts tokens' importance
            match products:
                case [ir.MatMul() as scores, ir.MatMul() as mix] if len(scores.parts) == len(mix.parts):
                    layers.append(Layer(scores=scores, softmax=softmax, mix=mix))
    return layers
