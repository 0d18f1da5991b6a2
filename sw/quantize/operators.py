"""What quantize_static's registry of operators is given for the time of a call: the plan's choice of tensors, and DeformConv."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import onnx
from onnxruntime.quantization import QDQQuantizer
from onnxruntime.quantization.operators.qdq_base_operator import QDQOperatorBase
from onnxruntime.quantization.registry import QDQRegistry

from .plan import Plan

LIBRARY = {kind: QDQRegistry[kind] for kind in ("Conv", "ConvTranspose", "Gemm", "LayerNormalization")}  # weights and biases


class _DeformConv(QDQOperatorBase):
    """Weights for each output channel, and a bias at the scale of their products."""

    def quantize(self) -> None:
        x, weights, bias = self.node.input[0], self.node.input[1], self.node.input[3] if len(self.node.input) > 3 else ""
        self.quantizer.quantize_weight_tensor_per_channel(weights, 0)
        if bias:
            self.quantizer.quantize_bias_tensor(self.node.name, bias, x, weights)


class _MatMul(QDQOperatorBase):
    """Weights for each output channel."""

    def quantize(self) -> None:
        for name in self.node.input:
            if self.quantizer.is_input_a_initializer(name):
                last = len(self.quantizer.initializers[name].dims) - 1
                self.quantizer.quantize_weight_tensor_per_channel(name, last)


OPERATORS = {**LIBRARY, "DeformConv": _DeformConv, "MatMul": _MatMul}


class _Planned:
    """A node: the tensors that the plan names, then its weights."""

    def __init__(self, plan: Plan, quantizer: QDQQuantizer, node: onnx.NodeProto):
        self.plan, self.quantizer, self.node = plan, quantizer, node

    def quantize(self) -> None:
        node = self.node
        for name in self.plan.marked[node.output[0]]:
            self.quantizer.quantize_activation_tensor(name)
        if node.op_type in OPERATORS:
            OPERATORS[node.op_type](self.quantizer, node).quantize()
        for name in node.output:
            if name in self.plan.alike:
                self.quantizer.quantize_output_same_as_input(name, self.plan.alike[name], node.name)


@contextmanager
def registered(plan: Plan, kinds: Iterable[str]) -> Iterator[None]:
    """Within, quantize_static does as the plan says with operators of these kinds, and leaves their results to it."""
    with patch.dict(QDQRegistry, {kind: partial(_Planned, plan) for kind in kinds}):
        yield
