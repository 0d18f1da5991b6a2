"""Verilator's lint on generated Verilog, with the warnings that generated code can't avoid waived by name.

``python -m celosia.gen.lint`` checks every block with its default parameters, alone and with its AXI ports.
"""

import tempfile
from pathlib import Path

from . import verilator

WAIVERS = {
    "DECLFILENAME": "files are named by the user, modules by the generator",
    "UNUSEDSIGNAL": "fields of a struct that nobody reads still show in the waveform",
    "WIDTHEXPAND": "Amaranth extends by the signedness of its types, as Verilog then does",
    "WIDTHTRUNC": "an assignment in Amaranth truncates",
    "VARHIDDEN": "instances and signals of Amaranth may share a name",
    "UNOPTFLAT": "fields of one struct depend on each other without a loop of bits",
    "ASCRANGE": "Yosys writes memories as [0:depth-1]",
    "PROCASSINIT": "Amaranth's registers have a value at configuration and one after reset",
    "CASEINCOMPLETE": "Amaranth's switch has a default: what was assigned before it",
}


def waiver_options() -> list[str]:
    """The options of Verilator that silence WAIVERS."""
    # Wfuture: older Verilators don't know all the names.
    return [option for name in WAIVERS for option in (f"-Wfuture-{name}", f"-Wno-{name}")]


def lint(source: Path, *, top: str) -> None:
    """Check the Verilog file ``source`` with all of Verilator's warnings but WAIVERS; raises ToolError naming what is wrong."""
    options = ["--lint-only", "-Wall", *waiver_options(), "--top-module", top]
    verilator.find().run([*options, str(source.resolve())], folder=source.parent)


def main() -> None:
    """Lint every block; raises ToolError on the first that has a fault."""
    from .blocks import BLOCKS  # simulations import this module for its waivers alone
    from .package import write_block

    with tempfile.TemporaryDirectory(prefix="celosia-") as folder:
        for name, block in BLOCKS.items():
            write_block(name, block.parameters(), Path(folder, name))
            for source in sorted(Path(folder, name).glob("*.v")):
                lint(source, top=source.stem)


if __name__ == "__main__":
    main()
