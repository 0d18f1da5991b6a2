"""Attention that leaves out what matters least: from the integer graph of sw/graph.py to one with less to do."""

from .prune import prune
from .shares import Pruning

__all__ = ["Pruning", "prune"]
