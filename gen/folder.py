"""Output folders that are complete or absent."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class OutputError(ValueError):
    """An output folder that can't be written: the message names it."""


@contextmanager
def fresh_folder(path: Path, *, marker: str) -> Iterator[Path]:
    """A new folder that takes the place of ``path`` when the block ends without an exception; else ``path`` stays as it was.

    marker: the file by which a folder of ours is known: no other folder is replaced, unless it is empty.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} must be a folder, not a file")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).exists():
        raise OutputError(f"{path} holds other files (no {marker}): give a new folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    except OSError as e:
        raise OutputError(f"{path} can't be written: {e.strerror}") from None
    try:
        new = beside / "new"
        new.mkdir()
        yield new
        old = beside / "old"
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError as e:
            if old.exists():
                old.rename(path)
            raise OutputError(f"{path} can't be written: {e.strerror}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
