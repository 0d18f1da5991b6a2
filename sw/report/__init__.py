"""Pictures and tables of what a run did."""

from .page import write_report

__all__ = ["write_report"]
