"""What the planner moves of published networks, and how long it takes, beside plans without it: writes the tables of docs/planning.md.

    python -m bench.plan [NETWORK...]

Times are of one core, in which nothing else of this process runs: the machine may be shared.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

from celosia.gen.pages import write_section
from celosia.sw.planning.baselines import Leaves, baseline
from celosia.sw.planning.check import check
from celosia.sw.planning.integer import moved
from celosia.sw.planning.problem import Problem
from celosia.sw.planning.schedule import Plan
from celosia.sw.planning.solve import best_plan, smallest_plan
from rich.console import Console

from bench.published_networks import NETWORKS, Network

PAGE = Path(__file__).parents[1] / "docs" / "planning.md"
SECONDS = 60.0  # for a plan
console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Of one network in a scratchpad of so many bytes. without: bytes that plans of the baselines move, but for what is compulsory;
    gapless: Belady's if gaps between tensors closed by themselves."""

    network: str
    budget: str
    capacity: int
    without: dict[Leaves, int]
    gapless: int
    plan: Plan
    compulsory: int
    seconds: float

    @property
    def more(self) -> int:
        """Bytes that the plan moves, but for what is compulsory."""
        return self.plan.moved - self.compulsory

    @property
    def saved(self) -> float:
        """Share of greedy's."""
        greedy = self.without[Leaves.LARGEST]
        return 1 - self.more / greedy if greedy else 0.0

    def __str__(self) -> str:
        least = round(self.plan.bound) - self.compulsory
        proof = "yes" if self.more == least else f"no, at least {kib(least)}"
        without = " | ".join(kib(self.without[leaves]) for leaves in Leaves)
        gapless = kib(self.gapless)
        cells = self.network, self.budget, kib(self.capacity), without, gapless, kib(self.more), f"{100 * self.saved:.0f} %", proof
        return f"| {' | '.join(cells)} | {kib(self.plan.exposed)} of {kib(self.plan.moved)} | {self.seconds:.1f} |"


def kib(size: int) -> str:
    return f"{size / 1024:,.0f}"


def rows(name: str, problem: Problem) -> Iterator[Row]:
    """At the three budgets of COSMA: what the largest operation takes, the smallest scratchpad without spills, and their mean."""
    with console.status(name) as status:
        begin = process_time()
        smallest, least = smallest_plan(problem, SECONDS, tell=lambda text: status.update(f"{name}, the smallest scratchpad: {text}"))
        found = process_time() - begin
        console.print(f"{name}: {smallest.capacity:,} bytes without spills, none less than {least:,}, {found:.1f} s", highlight=False)
        budgets = {"M_R": problem.largest, "M_H": (problem.largest + smallest.capacity) // 2, "M_P": smallest.capacity}
        for budget, capacity in budgets.items():
            begin = process_time()
            tell = f"{name}, {budget}"
            plan = best_plan(problem, capacity, SECONDS, tell=lambda text, tell=tell: status.update(f"{tell}: {text}"))
            seconds = process_time() - begin
            without = {leaves: _moved(problem, capacity, leaves) - problem.compulsory for leaves in Leaves}
            row = Row(
                network=name,
                budget=budget,
                capacity=capacity,
                without=without,
                gapless=moved(problem, baseline(problem, capacity, Leaves.LAST_USED, gaps=False)[0]) - problem.compulsory,
                plan=plan,
                compulsory=problem.compulsory,
                seconds=seconds + found * (budget == "M_P"),
            )
            console.print(str(row), highlight=False)
            yield row


def _moved(problem: Problem, capacity: int, leaves: Leaves) -> int:
    schedule, addresses = baseline(problem, capacity, leaves)
    return check(problem, schedule, addresses, capacity).moved


def table(names: Sequence[str], *, weights: bool) -> Iterator[str]:
    columns = [
        "network",
        "budget",
        "KiB",
        *(leaves.value for leaves in Leaves),
        "Belady, no gaps",
        "planned",
        "less than greedy",
        "optimal",
        "exposed",
        "s",
    ]
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * 2}{'---:|' * 7}---|---:|---:|"
    every = [row for name in names for row in rows(name, NETWORKS[name](Network(weights)))]
    yield from map(str, every)
    for budget in ("M_R", "M_H", "M_P"):
        of_it = [row for row in every if row.budget == budget and row.without[Leaves.LARGEST]]
        if of_it:
            mean = sum(row.saved for row in of_it) / len(of_it)
            moved, greedy = sum(row.more for row in of_it), sum(row.without[Leaves.LARGEST] for row in of_it)
            yield ""
            yield (
                f"{budget}: {100 * mean:.0f} % less than greedy, the mean of {len(of_it)} networks; "
                f"{100 * (1 - moved / greedy):.0f} % less of all their bytes."
            )


def main() -> None:
    names = sys.argv[1:] or list(NETWORKS)
    lines = ["Without weights:", "", *table(names, weights=False), "", "With weights, each read once:", "", *table(names, weights=True)]
    write_section(PAGE, "bench_plan", "\n".join(lines))


if __name__ == "__main__":
    main()
