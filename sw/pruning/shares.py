"""What of a network's attention is left out, as the user says it."""

from dataclasses import dataclass

from ..compiler.errors import CompileError


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Shares are above 0 and at most 1, none larger than the one before.

    tokens: for each layer of attention the share of all tokens that is left after it, by the attention that they received. protected: first
    tokens that always stay, as one for the class. heads: likewise the share of all heads, by the magnitudes of their results.
    values: of the tokens that are left, the share of those whose values a head fetches from external memory. progressive: the share of a
    head's largest token below which its keys are fetched with all their bits, else with the high half of them; 0 for always all.

    Raises
    ------
    CompileError
        If a share is out of order.
    """

    tokens: tuple[float, ...] = ()
    protected: int = 0
    heads: tuple[float, ...] = ()
    values: float = 1.0
    progressive: float = 0.0

    def __post_init__(self) -> None:
        for what, shares in {"tokens": self.tokens, "heads": self.heads, "values": (self.values,)}.items():
            if not all(0 < share <= before for share, before in zip(shares, [1.0, *shares], strict=False)):
                raise CompileError(f"shares of {what} must be above 0 and at most 1, and none larger than the one before, not {[*shares]}")
        if not 0 <= self.progressive <= 1:
            raise CompileError(f"progressive must be a share in 0..1, not {self.progressive}")

    @property
    def fetches(self) -> bool:
        """Whether it says what is fetched of keys and values in external memory."""
        return self.values < 1 or self.progressive > 0

    def __bool__(self) -> bool:
        return bool(self.tokens or self.heads) or self.fetches


def left_over(share: float, count: int, least: int = 0) -> int:
    """Of ``count``, at least ``least`` and one."""
    return min(count, max(1, least, round(share * count)))
