"""A network's attention with less to do (SpAtten, arXiv 2012.09852)."""

from .. import graph as ir
from ..compiler.errors import CompileError
from .cached import cached_layers, prune_cached
from .heads import prune_heads
from .shares import Pruning
from .tokens import prune_tokens


def prune(graph: ir.Graph, pruning: Pruning) -> ir.Graph:
    """The graph without what is to be left out.

    Raises
    ------
    CompileError
        If there are shares for more layers than the network has, or if a layer, or what follows it, can't do with less: names the node.
    """
    if not pruning:
        return graph
    softmaxes, cached = [op for op in graph.operators if isinstance(op, ir.Softmax)], cached_layers(graph)
    for what, shares in {"tokens": pruning.tokens, "heads": pruning.heads}.items():
        if len(shares) > len(softmaxes):
            raise CompileError(f"there are shares of {what} for {len(shares)} layers of attention, but the network has {len(softmaxes)}")
    if len({op.out.cols for op in softmaxes}) > 1:
        raise CompileError(f"all layers of attention must have the same number of tokens, not {sorted({op.out.cols for op in softmaxes})}")
    if cached and len(cached) == len(softmaxes):
        return prune_cached(graph, cached, pruning)
    if pruning.fetches:
        node = next((op.node for op in softmaxes if op.name not in {layer.softmax.name for layer in cached}), "the network")
        raise CompileError(f"{node}: values and low bits can be left out where all keys and values are inputs, in external memory")
    return prune_heads(prune_tokens(graph, softmaxes, pruning), pruning.heads)
