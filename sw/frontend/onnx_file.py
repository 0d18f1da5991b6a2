"""Read an ONNX file that may be anything: check it, and refuse what can't be handled before looking closer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

MAX_ELEMENTS = 1 << 24  # of one tensor: bounds the memory that a small file can ask for
OPSETS = range(13, 26)
INPUT_TYPES = ("FLOAT", "DOUBLE", "FLOAT16", "INT8", "UINT8", "INT16", "UINT16", "INT32", "INT64", "BOOL")
CONSTANT_TYPES = (*INPUT_TYPES, "INT4", "UINT4", "INT2", "UINT2")


class ModelError(ValueError):
    """A model that can't be imported: one line that names the file, the place and the reason."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One ONNX operation, its attributes as Python values."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"node {self.name} ({self.op_type})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Value:
    """An input of the graph."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxModel:
    """A checked model: nodes in topological order; constants: initializers and Constant nodes; opset: version of ONNX's operators."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray]
    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]
    opset: int


def element_type(number: int) -> str:
    """The name of an ONNX element type, such as FLOAT or INT4."""
    return onnx.TensorProto.DataType.Name(number)  # pyright: ignore[reportArgumentType] - an open enum in files


def _value(info: onnx.ValueInfoProto) -> Value:
    kind = info.type.tensor_type
    if element_type(kind.elem_type) not in INPUT_TYPES:
        raise ValueError(f"{info.name} has the unsupported element type {element_type(kind.elem_type)}")
    dims = [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in kind.shape.dim]
    if not kind.HasField("shape") or not all(isinstance(d, int) and d > 0 for d in dims):
        raise ValueError(f"{info.name} has the dynamic shape [{', '.join(map(str, dims))}]: export it with fixed sizes")
    shape = tuple(int(d) for d in dims)
    if np.prod(shape, dtype=object) > MAX_ELEMENTS:
        raise ValueError(f"{info.name} has the shape {list(shape)}, more than {MAX_ELEMENTS} elements")
    return Value(name=info.name, shape=shape, dtype=onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))


def _node(proto: onnx.NodeProto) -> Node:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    name = proto.name or (proto.output[0] if proto.output else "without a name")
    if proto.domain not in ("", "ai.onnx") and proto.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        raise ValueError(f"node {name} ({proto.op_type}): operator of the unsupported domain {proto.domain}")
    return Node(
        name=name,
        op_type=proto.op_type,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=attributes,
    )


def _refuse(proto: onnx.ModelProto) -> None:
    """Raise ValueError on what no later step may see: data in other files, element types without a numpy type."""
    tensors = list(proto.graph.initializer)
    tensors += [a.t for node in proto.graph.node for a in node.attribute if a.HasField("t")]
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(f"tensor {tensor.name} lies in another file: save the model as one file")
        if element_type(tensor.data_type) not in CONSTANT_TYPES:
            raise ValueError(f"tensor {tensor.name} has the unsupported type {element_type(tensor.data_type)}")
    if proto.graph.sparse_initializer:
        raise ValueError(f"tensor {proto.graph.sparse_initializer[0].values.name} is sparse, which is not supported")


def converted(proto: onnx.ModelProto) -> OnnxModel:
    """What a checked model holds. Raises ValueError on what can't be imported."""
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset not in OPSETS:
        raise ValueError(f"opset {opset} is not supported, only {OPSETS.start} to {OPSETS.stop - 1}")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    nodes = []
    for node in map(_node, proto.graph.node):
        if node.op_type != "Constant":
            nodes.append(node)
        elif "value" in node.attributes:
            constants[node.outputs[0]] = onnx.numpy_helper.to_array(node.attributes["value"])
        else:
            ((kind, value),) = node.attributes.items()
            if kind not in ("value_float", "value_floats", "value_int", "value_ints"):
                raise ValueError(f"{node.title}: attribute {kind} is not supported")
            constants[node.outputs[0]] = np.asarray(value, np.float32 if "float" in kind else np.int64)
    return OnnxModel(
        nodes=tuple(nodes),
        constants=constants,
        inputs=tuple(_value(info) for info in proto.graph.input if info.name not in constants),
        outputs=tuple(info.name for info in proto.graph.output),
        opset=opset,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def checked(path: Path) -> tuple[onnx.ModelProto, OnnxModel]:
    """Read and check an ONNX file, float or quantized. Data outside of the file is never opened.

    Raises
    ------
    ModelError
        If the file is missing, not ONNX, fails onnx.checker or shape inference, or has what can't be imported.
    """
    try:
        proto = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise ModelError(f"{path}: not an ONNX file, or truncated: {_first_line(error)}") from error
    try:
        _refuse(proto)
        onnx.checker.check_model(proto)
        model = converted(proto)
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{path}: not a valid ONNX model: {_first_line(error)}") from error
    except ValueError as error:
        raise ModelError(f"{path}: {_first_line(error)}") from error
    return proto, model


def read(path: Path) -> OnnxModel:
    """A quantized network, as `checked`.

    Raises
    ------
    ModelError
        As `checked`, and if nothing is quantized.
    """
    _, model = checked(path)
    if not any(node.op_type == "QuantizeLinear" for node in model.nodes):
        raise ModelError(f"{path}: no QuantizeLinear node: quantize the float network first, with celosia quantize")
    return model
