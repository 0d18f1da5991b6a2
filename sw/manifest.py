"""The manifest of a compiled network: all that a driver has to know, as JSON, beside the program and the constants."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.checks import require
from ..rtl.arch.links import ANY_PROGRAM, Connections
from ..rtl.arch.parameters import VERSION, MachineParameters, configuration_hash
from ..rtl.arch.registers import REGISTERS
from ..rtl.arch.steps import STEP_BYTES, Step
from ..rtl.arch.workers import require_worker
from . import graph as ir
from .compiler.decision import Decision
from .compiler.layout import Layout
from .compiler.memory_map import MemoryMap
from .compiler.slots import from_slots, to_slots

if TYPE_CHECKING:  # which compiles: devices need no compiler
    from .compiler.program import Program

MANIFEST, CONSTANTS, PROGRAM = "manifest.json", "constants.bin", "program.bin"
PORT_TYPES = ("float32", "int8", "uint8", "int16", "uint16", "int32", "int64")
MAX_COUNT = 1 << 26  # elements that a manifest may ask for
MAX_BYTES = 1 << 32  # of the driver's buffer


class ManifestError(ValueError):
    """A folder that does not hold a compiled network of this version: the message names the file."""


@contextmanager
def reading(path: Path, must_be: str, *, missing: str = "is missing") -> Iterator[None]:
    """What goes wrong in reading ``path``, which is not trusted, is a ManifestError that names it. must_be: what its folder is to be.
    missing: what is said of a key."""
    try:
        yield
    except ManifestError:
        raise
    except FileNotFoundError as e:
        raise ManifestError(f"{e.filename}: no such file: {path.parent} must be {must_be}") from None
    except (OSError, RecursionError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
        what = f"{e.args[0]!r} {missing}" if isinstance(e, KeyError) else str(e)
        raise ManifestError(f"{path}: {what}") from None


def check_format(text: Mapping[str, Any], again: str) -> None:
    """again: what to do where a manifest is of another version. Raises ValueError."""
    if text["format"] != list(VERSION):
        raise ValueError(f"format {text['format']} is not this library's {list(VERSION)}: {again} again")


@dataclass(frozen=True, kw_only=True, eq=False)
class PortLayout:
    """How a user's array lies in the driver's buffer. offset: bytes from its start."""

    port: ir.Port
    layout: Layout
    offset: int

    @property
    def slots(self) -> int:
        return self.layout.rows * self.layout.row_words

    def to_memory(self, values: NDArray, parameters: MachineParameters) -> bytes:
        """The bytes at ``offset`` of the 2-D tensor's values."""
        return to_slots(self.layout.pack(values), parameters)

    def from_memory(self, data: bytes, parameters: MachineParameters) -> NDArray:
        """The 2-D tensor's values from the bytes at ``offset``."""
        return self.layout.unpack(from_slots(data, parameters))

    def to_json(self) -> dict[str, Any]:
        port, tensor = self.port, self.port.tensor
        flat = port.permutation.reshape(-1)
        return {
            **{"name": port.name, "shape": list(port.shape), "dtype": str(port.dtype), "scale": port.scale, "zero_point": port.zero_point},
            "permutation": None if (flat == np.arange(flat.size)).all() else flat.tolist(),
            "planes": isinstance(port, ir.GraphInput) and port.planes,
            "choices": port.choices if isinstance(port, ir.GraphInput) else 0,
            "tensor": {
                **{"rows": tensor.rows, "cols": tensor.cols, "bits": tensor.bits},
                **{"group": self.layout.group, "line": self.layout.line, "spare": self.layout.spare, "offset": self.offset},
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], kind: type[ir.Port], parameters: MachineParameters) -> "PortLayout":
        t = value["tensor"]
        rows, cols, group, line = (_count(t[name], name) for name in ("rows", "cols", "group", "line"))
        scale, zero_point, bits = float(value["scale"]), int(value["zero_point"]), int(t["bits"])
        if cols % group:
            raise ValueError(f"group must divide the {cols} columns of {value['name']}, not {group}")
        if rows % line or (line > 1 and group != cols):
            raise ValueError(f"line must divide the {rows} rows of {value['name']}, which must be one group, not {line}")
        spare = _count(t["spare"], "spare", low=0)
        tensor = ir.Tensor(name=str(value["name"]), rows=rows, cols=cols, bits=bits, scale=scale, zero_point=zero_point)
        planes = value["planes"] is True and kind is ir.GraphInput
        if (bits == 4) != planes or (planes and rows % 2):
            raise ValueError(f"{tensor.name} must have 4 bits, and as many rows for each, where it is in planes: not {bits} and {rows}")
        dtype, choices = _dtype(value["dtype"]), _count(value["choices"], "choices", low=0)
        if (dtype.itemsize > 2 and dtype.kind == "i" and kind is ir.GraphInput) != bool(choices) or choices > 1 << (bits - 1):
            raise ValueError(f"{tensor.name} must have choices where it is int32 or int64, as many as {bits} bits hold, not {choices}")
        listed, size = value["permutation"], rows * cols // (1 + planes)
        permutation = np.arange(size) if listed is None else np.array(listed, np.int64)
        shape = tuple(_count(n, "a dimension") for n in value["shape"])
        if not np.array_equal(np.sort(permutation), np.arange(size)) or math.prod(shape) != size:
            raise ValueError(f"the permutation of {tensor.name} is not one of {size} elements")
        layout = Layout(tensor=tensor, group=group, word_bytes=parameters.word_bytes, bits=bits, line=line, spare=spare)
        port = kind(
            name=tensor.name,
            shape=shape,
            dtype=dtype,
            tensor=tensor,
            scale=scale,
            zero_point=zero_point,
            permutation=permutation.reshape(-1, tensor.cols),
            **({"planes": planes, "choices": choices} if kind is ir.GraphInput else {}),
        )
        return cls(port=port, layout=layout, offset=_offset(value["tensor"]["offset"]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifest:
    """rom: the program is in the circuit. prologue: number of steps. labels: the operator of each step of a run, and its engine. positions:
    of tokens, for each of which a decoder has a run of its own, as many steps behind those of the one before; 0 of other networks.

    connections: of the circuit. operators: for reports, by name: node, kind, macs. decision, memory: for reports too, of the
    planner.
    """

    name: str
    parameters: MachineParameters
    rom: bool
    connections: Connections
    configuration: int
    prologue: int
    labels: tuple[tuple[str, str], ...]
    program_offset: int
    memory_bytes: int
    inputs: tuple[PortLayout, ...]
    outputs: tuple[PortLayout, ...]
    operators: Mapping[str, Mapping[str, Any]]
    constants: bytes
    code: bytes
    decision: Decision | None = None
    positions: int = 0
    memory: MemoryMap | None = None

    def first_step(self, position: int = 0) -> int:
        """Of a run."""
        return self.prologue + position * len(self.labels)

    @property
    def last_position(self) -> int:
        """Whose run takes the longest."""
        return max(0, self.positions - 1)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The program's steps, prologue first. Raises ValueError on a step that no engine knows."""
        return tuple(Step.decode(self.code[i : i + STEP_BYTES]) for i in range(0, len(self.code), STEP_BYTES))

    @classmethod
    def of(cls, program: "Program", *, rom: bool) -> "Manifest":
        """Raises ParameterError where a program with links is not ``rom``: then its circuit hasn't them."""
        code, connections = program.code, program.connections if rom else ANY_PROGRAM
        require(rom or not program.plan.links, "rom", "true for a program with links", rom)
        engines = [step.engine.name.lower() for step in program.body]

        def ports(values: tuple[ir.Port, ...]) -> tuple[PortLayout, ...]:
            return tuple(PortLayout(port=v, layout=program.layouts[v.tensor.name], offset=program.external[v.tensor.name]) for v in values)

        return cls(
            name=program.name,
            parameters=program.parameters,
            rom=rom,
            connections=connections,
            configuration=configuration_hash(program.parameters, code if rom else None, connections),
            prologue=len(program.prologue),
            labels=tuple(zip(program.labels, engines, strict=True)),
            program_offset=program.program_offset,
            memory_bytes=program.memory_bytes,
            inputs=ports(program.graph.inputs),
            outputs=ports(program.graph.outputs),
            operators={op.name: {"node": op.node, "kind": type(op).__name__, "macs": op.macs} for op in program.graph.operators},
            constants=program.image,
            code=code,
            decision=program.decision,
            positions=len(program.positions),
            memory=program.memory,
        )

    def save(self, folder: Path) -> None:
        """Write manifest, constants and program into an existing folder."""
        (folder / CONSTANTS).write_bytes(self.constants)
        (folder / PROGRAM).write_bytes(self.code)
        (folder / MANIFEST).write_text(json.dumps(self.to_json(), indent=1) + "\n")

    def to_json(self) -> dict[str, Any]:
        return {
            "format": list(VERSION),
            "name": self.name,
            "parameters": asdict(self.parameters),
            "program": {
                **{"rom": self.rom, "prologue": self.prologue, "positions": self.positions},
                **{"offset": self.program_offset, "sha256": _sha256(self.code)},
            },
            "connections": self.connections.as_dict(),
            "configuration": f"{self.configuration:016x}",
            "memory": {"bytes": self.memory_bytes, "constants_sha256": _sha256(self.constants)},
            "inputs": [port.to_json() for port in self.inputs],
            "outputs": [port.to_json() for port in self.outputs],
            "operators": self.operators,
            "decision": None if self.decision is None else asdict(self.decision),
            "plan": None if self.memory is None else asdict(self.memory),
            "steps": [list(label) for label in self.labels],
            "registers": {r.name: {"offset": r.offset, "access": r.access.value} for r in REGISTERS},
        }

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read a folder that `save` wrote; it is not trusted.

        Raises
        ------
        ManifestError
            If a file is missing, damaged, or of another version of the format; the message names it.
        """
        path = folder / MANIFEST
        with reading(path, "a folder that celosia compile wrote"):
            text = json.loads(path.read_text())
            constants, code = (folder / CONSTANTS).read_bytes(), (folder / PROGRAM).read_bytes()
            check_format(text, "compile the network")
            for file, data, digest in (
                (CONSTANTS, constants, text["memory"]["constants_sha256"]),
                (PROGRAM, code, text["program"]["sha256"]),
            ):
                if _sha256(data) != digest:
                    raise ManifestError(f"{folder / file}: damaged or truncated ({len(data)} bytes): its SHA-256 is not the manifest's")
            return cls._from_json(text, constants, code)

    @classmethod
    def _from_json(cls, text: Mapping[str, Any], constants: bytes, code: bytes) -> "Manifest":
        parameters = MachineParameters.from_dict(text["parameters"])
        rom, prologue = bool(text["program"]["rom"]), _count(text["program"]["prologue"], "prologue", low=0)
        configuration, connections = int(text["configuration"], 16), Connections.from_dict(text["connections"])
        connections.check(parameters)
        if configuration != configuration_hash(parameters, code if rom else None, connections):
            raise ValueError("the configuration hash is not that of the parameters, the connections and the program")
        labels = tuple((str(name), str(engine)) for name, engine in text["steps"])
        positions = _count(text["program"]["positions"], "positions", low=0)
        steps = prologue + max(1, positions) * len(labels)
        if len(code) != STEP_BYTES * steps:
            raise ValueError(f"the program has {len(code)} bytes, not {STEP_BYTES} for each of {steps} steps")
        for index in range(steps):
            try:
                require_worker(Step.decode(code[index * STEP_BYTES : (index + 1) * STEP_BYTES]), parameters)
            except ValueError as e:
                raise ValueError(f"step {index} of {PROGRAM}: {e}") from None
        ports = {
            kind: tuple(PortLayout.from_json(value, kind, parameters) for value in text[key])
            for key, kind in (("inputs", ir.GraphInput), ("outputs", ir.GraphOutput))
        }
        memory_bytes, program_offset = int(text["memory"]["bytes"]), _offset(text["program"]["offset"])
        ends = [port.offset + port.slots * parameters.slot_bytes for kind in ports.values() for port in kind]
        if not max(*ends, len(constants), program_offset + len(code)) <= memory_bytes <= MAX_BYTES:
            raise ValueError(f"a tensor, the constants or the program lie beyond the buffer of {memory_bytes} bytes")
        return cls(
            name=str(text["name"]),
            parameters=parameters,
            rom=rom,
            connections=connections,
            configuration=configuration,
            prologue=prologue,
            labels=labels,
            program_offset=program_offset,
            memory_bytes=memory_bytes,
            inputs=ports[ir.GraphInput],
            outputs=ports[ir.GraphOutput],
            operators={str(name): _about(about) for name, about in text["operators"].items()},
            constants=constants,
            code=code,
            decision=None if text["decision"] is None else Decision.from_dict(text["decision"]),
            memory=None if text["plan"] is None else MemoryMap.from_dict(text["plan"]),
            positions=positions,
        )


def _count(value: object, name: str, *, low: int = 1, high: int = MAX_COUNT) -> int:
    """An untrusted number of elements or bytes."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be an integer in {low}..{high}, not {value!r}")
    return value


def _offset(value: object) -> int:
    """An untrusted place in the driver's buffer."""
    return _count(value, "offset", low=0, high=MAX_BYTES)


def _about(value: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of an operator, for reports."""
    return {"node": str(value["node"]), "kind": str(value["kind"]), "macs": int(value["macs"])}


def _dtype(name: object) -> np.dtype:
    if name not in PORT_TYPES:
        raise ValueError(f"dtype must be one of {', '.join(PORT_TYPES)}, not {name!r}")
    return np.dtype(str(name))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
