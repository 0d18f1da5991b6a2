"""What `celosia quantize` and `compile --offset-data` refuse: one line that names the place, and nothing is written."""

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from float_networks import Deformable, samples_of, saved
from onnx_models import Net, mlp
from test_cli import celosia, refused
from test_quantize import quantize


def arrays(**changed: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        good = samples_of(two_inputs(), 3)
        np.savez(path, **{name: array for name, array in (good | changed).items() if array is not None})  # pyright: ignore[reportArgumentType]

    return write


def two_inputs() -> onnx.ModelProto:
    """input_1 [1, 4, 6, 6] and input_2 [5, 8], two outputs."""
    net = Net()
    x, y = net.input(1, 4, 6, 6), net.input(5, 8)
    outputs = net.op("Relu", net.op("Conv", x, net.normal(3, 4, 1, 1))), net.op("MatMul", y, net.normal(8, 3))
    infos = [onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in zip(outputs, ((1, 3, 6, 6), (5, 3)), strict=True)]
    model = net.model(*outputs)
    del model.graph.output[:]
    model.graph.output.extend(infos)
    return model


def array_file() -> bytes:
    """What numpy.save writes."""
    file = BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


X, Y = (np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32) for shape in ((4, 6, 6), (5, 8)))
BAD_DATA: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("1 2 3"), "not an .npz archive of arrays, as numpy.savez writes it"),
    "one array": (lambda path: path.write_bytes(array_file()), "not an .npz archive of arrays, as numpy.savez writes it"),
    "empty": (lambda path: path.write_bytes(b""), "not an .npz archive of arrays, as numpy.savez writes it"),
    "broken": (lambda path: path.write_bytes(b"PK\x03\x04 not a zip file"), "not an .npz archive of arrays, as numpy.savez writes it"),
    "objects": (arrays(input_1=np.array([{}, 1, 2], object)), "input_1 is not an array of numbers"),
    "missing": (arrays(input_2=None), "the input input_2 is missing"),
    "unknown": (arrays(image=X), "image is no input of the network, which are input_1, input_2"),
    "leading 1": (arrays(input_1=X[:, None]), "input_1 must have the shape [samples, 4, 6, 6], not [3, 1, 4, 6, 6]"),
    "one sample": (arrays(input_1=X[0]), "input_1 must have the shape [samples, 4, 6, 6], not [4, 6, 6]"),
    "shape": (arrays(input_2=Y[:, :4]), "input_2 must have the shape [samples, 5, 8], not [3, 4, 8]"),
    "none": (arrays(input_1=X[:0]), "input_1 must have the shape [samples, 4, 6, 6], not [0, 4, 6, 6]"),
    "counts": (arrays(input_1=X[:2]), "all inputs must have as many samples, not input_1 2, input_2 3"),
    "NaN": (arrays(input_1=np.where(X > 2, np.nan, X)), "input_1 must hold finite numbers, not NaN or infinity"),
    "infinity": (arrays(input_1=np.where(X > 2, np.inf, X)), "input_1 must hold finite numbers, not NaN or infinity"),
    "beyond float32": (arrays(input_1=X.astype(float) * 1e60), "input_1 must hold finite numbers, not NaN or infinity"),
    "constant": (arrays(input_2=np.zeros_like(Y)), "input_2 is 0 everywhere: constant data shows no range"),
    "integers": (arrays(input_1=X.astype(np.int32)), "input_1 must be float32, not int32"),
    "bytes": (arrays(input_1=(X * 9).astype(np.uint8)), "input_1 must be float32, not uint8"),
    "strings": (arrays(input_1=X.astype(str)), "input_1 must be float32, not <U32"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_data(kind: str, tmp_path: Path) -> None:
    write, message = BAD_DATA[kind]
    onnx.save(two_inputs(), tmp_path / "float.onnx")
    data = tmp_path / "data.npz"
    write(data)
    assert refused("quantize", tmp_path / "float.onnx", "--calibration", data, "-o", tmp_path / "net.onnx") == f"{data}: {message}"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.npz", "float.onnx"]


def test_bad_data_of_a_quantized_network(tmp_path: Path) -> None:
    _, path, _ = quantize(Deformable().network(), tmp_path)
    bad = tmp_path / "bad.npz"
    np.savez(bad, input_1=np.zeros((2, 16, 9, 10), np.float32))
    message = refused("compile", path, "-o", tmp_path / "out", "--deform-kernel", 3, "--offset-data", bad)
    assert message == f"{bad}: input_1 must have the shape [samples, 16, 9, 11], not [2, 16, 9, 10]"
    assert not (tmp_path / "out").exists()


def test_integers_are_taken_where_the_network_has_them(tmp_path: Path) -> None:
    net = Net()
    tokens = net.input(1, 6, kind=onnx.TensorProto.INT64)
    rows = net.op("Gather", net.normal(9, 8), tokens)
    model = net.model(net.op("MatMul", rows, net.normal(8, 3)))
    onnx.save(model, tmp_path / "float.onnx")
    good = np.random.default_rng(1).integers(0, 9, (4, 6)).astype(np.int32)
    for array, message in (
        (good.astype(np.float32), f"{tmp_path / 'data.npz'}: input_1 must be int64, not float32"),
        (good.astype(np.uint64) + 2**63, f"{tmp_path / 'data.npz'}: input_1 has numbers that int64 does not hold"),
        (good + 1, f"{tmp_path / 'float.onnx'}: ONNX Runtime: "),
    ):
        np.savez(tmp_path / "data.npz", input_1=array)
        command = "quantize", tmp_path / "float.onnx", "--calibration", tmp_path / "data.npz", "-o", tmp_path / "net.onnx"
        assert refused(*command).startswith(message)
    np.savez(tmp_path / "data.npz", input_1=good)
    assert celosia(*command).exit_code == 0


def old() -> onnx.ModelProto:
    net = Net()
    return net.model(net.op("Relu", net.input(2, 4)), opset=11)


def dynamic() -> onnx.ModelProto:
    net = Net()
    return net.model(net.op("Relu", net.input("batch", 4)))


def in_groups() -> onnx.ModelProto:
    net = Net()
    x, offsets = net.input(1, 4, 6, 6), net.input(1, 36, 6, 6)
    y = net.op("DeformConv", x, net.normal(4, 1, 3, 3), offsets, group=4, offset_group=2, pads=[1] * 4)
    return net.model(y, opset=22)


def not_finite() -> onnx.ModelProto:
    net = Net()
    return net.model(net.op("Log", net.input(2, 4)))


def unsupported() -> onnx.ModelProto:
    net = Net()
    return net.model(net.op("Softmax", net.op("CumSum", net.input(2, 4), net.constant(np.array(1))), axis=-1))


BAD_NETWORKS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "opset": (old, "opset 11 is not supported, only 13 to 25"),
    "dynamic": (dynamic, "input_1 has the dynamic shape [batch, 4]: export it with fixed sizes"),
    "not finite": (not_finite, "log_2 of sample 0 is not finite"),
    "operator": (unsupported, "quantized, it can't be compiled: node node_CumSum_4 (CumSum) of [2, 4], []: the operator is not supported"),
    "offset groups": (in_groups, "quantized, it can't be compiled: node node_DeformConv_5 (DeformConv) of "),
}


@pytest.mark.parametrize("kind", BAD_NETWORKS)
def test_bad_network(kind: str, tmp_path: Path) -> None:
    make, message = BAD_NETWORKS[kind]
    model = make()
    onnx.save(model, tmp_path / "float.onnx")
    shapes = {i.name: [d.dim_value or 1 for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    random = np.random.default_rng(1)
    np.savez(tmp_path / "data.npz", **{name: random.normal(size=(3, *s[s[0] == 1 :])) for name, s in shapes.items()})  # pyright: ignore[reportArgumentType]
    found = refused("quantize", tmp_path / "float.onnx", "--calibration", tmp_path / "data.npz", "-o", tmp_path / "net.onnx")
    assert found.startswith(f"{tmp_path / 'float.onnx'}: {message}")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.npz", "float.onnx"]


def test_bad_files(tmp_path: Path) -> None:
    path, data = saved(mlp(), tmp_path)
    net = tmp_path / "net.onnx"
    assert celosia("quantize", path, "--calibration", data, "-o", net).exit_code == 0
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert refused("quantize", net, "--calibration", data, "-o", tmp_path / "twice.onnx").endswith(": the network is quantized already")
    assert refused("quantize", path, "--calibration", data, "-o", path) == f"{path} is the float network itself: give another file"
    assert refused("quantize", path, "--calibration", data, "-o", tmp_path) == f"{tmp_path} must be a file in a folder that there is"
    assert refused("quantize", data, "--calibration", data, "-o", tmp_path / "new.onnx").startswith(f"{data}: not ")
    nowhere = tmp_path / "none" / "net.onnx"
    assert refused("quantize", path, "--calibration", data, "-o", nowhere) == f"{nowhere} must be a file in a folder that there is"
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_without_onnxruntime(tmp_path: Path) -> None:
    """One line says what to install, and all other commands work."""
    path, data = saved(mlp(), tmp_path)
    hidden = "import sys; sys.modules['onnxruntime'] = None; from celosia.gen.cli import main; main()"
    arguments = ["quantize", path, "--calibration", data, "-o", tmp_path / "net.onnx"]
    result = subprocess.run([sys.executable, "-c", hidden, *arguments], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "celosia: the module onnxruntime is missing: pip install 'celosia[quantize]'\n"
