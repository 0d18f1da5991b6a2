"""What commands write into pages of docs/."""

from pathlib import Path


class PageError(ValueError):
    """A page without its markers."""


def write_section(page: Path, name: str, text: str) -> None:
    """Replace what ``page`` has between ``<!-- name: begin, written by nox -s name -->`` and ``<!-- name: end -->``.

    Raises PageError unless the page has both once, in this order.
    """
    begin, end = f"<!-- {name}: begin, written by nox -s {name} -->", f"<!-- {name}: end -->"
    page_text = page.read_text()
    if not page_text.count(begin) == page_text.count(end) == 1 or page_text.index(begin) > page_text.index(end):
        raise PageError(f"{page} must hold {begin!r} and then {end!r}, once each")
    before, rest = page_text.split(begin)
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{rest.split(end)[1]}")
