"""The PIM controller under random macros and AXI bursts: `nox -s bench_pim` writes a table of docs/blocks/pim.md."""

from dataclasses import replace
from pathlib import Path

from celosia.gen.pages import write_section
from celosia.rtl.arch.dram import PRESETS
from celosia.tb.pim_bench import PimBench
from celosia.tb.pim_traffic import drive
from rich.progress import track

PAGE = Path(__file__).parents[1] / "docs" / "blocks" / "pim.md"
CYCLES = 1_000_000  # of each preset; nox -s sim_long has more
LEGEND = """Macros and bursts of 1 to 16 beats at random places of six rows of each bank, in turn alone and together, two channels, every
second part under stalls of each port, refreshes on; every result, and what lies in the DRAM, is compared with the golden device, every
command with the referee's table. Row hits: commands on rows that find theirs open. Places are random, so these are few; [pim](../pim.md)
has those of networks."""
HEADER = ["| preset | cycles | row hits | command bus in use | data bus in use | refreshes |", "| --- | ---: | ---: | ---: | ---: | ---: |"]


def main() -> None:
    lines = [
        "| preset | cycles | row hits | command bus in use | data bus in use | refreshes |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, dram in track(PRESETS.items(), description="random traffic"):
        with PimBench(replace(dram, channels=2)) as bench:
            found = drive(bench, 1, CYCLES)
        shares = (f"{100 * share:.1f} %" for share in (found.row_hits, found.command_bus, found.data_bus))
        lines.append(f"| {name} | {found.cycles:,} | {' | '.join(shares)} | {found.refreshes:,} |")
    write_section(PAGE, "bench_pim", LEGEND + "\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
