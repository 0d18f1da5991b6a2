"""Integer programs, solved by HiGHS."""

from collections.abc import Mapping
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

INTEGRALITY = 1e-4  # how far from an integer HiGHS may leave one


@dataclass(frozen=True)
class Solution:
    """values: of the variables, None where no solution was found. bound: of the objective, that no solution is below."""

    values: NDArray | None
    bound: float

    @property
    def ones(self) -> NDArray[np.bool_] | None:
        """Which of the variables are 1, of those that are 0 or 1."""
        return None if self.values is None else self.values > 1 / 2


class _Silent(highspy.Highs):
    """HiGHS prints who it is as its callbacks, of which there are none, are enabled."""

    def enableCallbacks(self) -> None:
        pass


class Program:
    """Minimize the sum of costs times variables between limits, subject to rows."""

    def __init__(self) -> None:
        self._cost, self._limits, self._integer = list[float](), list[tuple[float, float]](), list[bool]()
        self._starts, self._columns, self._factors, self._sums = [0], list[int](), list[float](), list[tuple[float, float]]()

    def variable(self, cost: float = 0, *, low: float = 0, high: float = 1, integer: bool = True) -> int:
        """Its number."""
        self._cost.append(cost)
        self._limits.append((low, high))
        self._integer.append(integer)
        return len(self._cost) - 1

    def row(self, terms: Mapping[int, float], *, low: float = -np.inf, high: float = np.inf) -> None:
        """low <= sum of factors times variables, by their numbers <= high."""
        self._columns += terms.keys()
        self._factors += terms.values()
        self._starts.append(len(self._columns))
        self._sums.append((low, high))

    def charge(self, variable: int, cost: float) -> None:
        self._cost[variable] += cost

    def as_row(self, *, high: float = np.inf) -> None:
        """Limit what was minimized so far, to minimize something else."""
        self.row({variable: cost for variable, cost in enumerate(self._cost) if cost}, high=high)
        self._cost = [0.0] * len(self._cost)

    def solve(self, seconds: float, start: Mapping[int, float] | None = None) -> Solution:
        """The best that is found in that time. start: values of variables to begin with, from which the others follow."""
        h = _Silent()
        for option, value in {"output_flag": False, "time_limit": max(seconds, 0.01), "threads": 1, "mip_rel_gap": 0.0}.items():
            h.setOptionValue(option, value)
        h.passModel(self._lp())
        if start is not None:
            h.setSolution(len(start), np.array(list(start), np.int32), np.array(list(start.values()), float))
        h.run()
        info, status = h.getInfo(), h.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return Solution(None, np.inf)
        found = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
        return Solution(np.array(h.getSolution().col_value) if found else None, info.mip_dual_bound)

    def _lp(self) -> highspy.HighsLp:
        lp, kinds = highspy.HighsLp(), (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.num_col_, lp.num_row_ = len(self._cost), len(self._sums)
        lp.col_cost_, (lp.col_lower_, lp.col_upper_) = np.array(self._cost), np.array(self._limits).T.copy()
        lp.row_lower_, lp.row_upper_ = np.array(self._sums).T.copy()
        matrix = lp.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_, matrix.index_, matrix.value_ = (
            np.array(self._starts),
            np.array(self._columns, np.int32),
            np.array(self._factors, float),
        )
        lp.integrality_ = [kinds[integer] for integer in self._integer]
        return lp
