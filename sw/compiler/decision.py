"""What the planner weighed, and why it chose as it did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A way to run the network. groups: pipelines, and operators in bands. cycles: of a run, predicted. moved_bytes: to and from external
    memory. link_bytes: that its links hold."""

    pattern: str
    groups: tuple[str, ...]
    cycles: int
    moved_bytes: int
    link_bytes: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """alternatives: the one that was taken first. reasons: in a line each, why operators are in a pipeline or aren't."""

    alternatives: tuple[Alternative, ...]
    reasons: tuple[str, ...]

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """From what a manifest says, untrusted. Raises KeyError, TypeError or ValueError."""
        alternatives = (
            Alternative(
                pattern=str(a["pattern"]),
                groups=tuple(str(group) for group in a["groups"]),
                **{name: int(a[name]) for name in ("cycles", "moved_bytes", "link_bytes")},
            )
            for a in value["alternatives"]
        )
        return cls(alternatives=tuple(alternatives), reasons=tuple(str(reason) for reason in value["reasons"]))
