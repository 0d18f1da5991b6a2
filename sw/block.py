"""The manifest of a single block that rows can be sent through: all that a driver has to know, as JSON."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..rtl.arch.formats import FORMATS, Format
from ..rtl.arch.parameters import VERSION
from ..rtl.arch.rows import RowPlaces
from .manifest import check_format, reading

BLOCK_MANIFEST = "block.json"


@dataclass(frozen=True, kw_only=True)
class BlockManifest:
    """name, parameters: of the block, as `celosia generate` has them. scales: that are built in. source, out: formats of an element and of
    a result. row_elements: of the longest row, 0 where the block has no limit."""

    name: str
    parameters: Mapping[str, Any]
    scales: Mapping[str, float]
    source: Format
    out: Format
    row_elements: int

    @property
    def configuration(self) -> int:
        """64 bits that identify the circuit."""
        text = json.dumps(
            {"version": VERSION, "name": self.name, "parameters": dict(self.parameters), "scales": dict(self.scales)}, sort_keys=True
        )
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

    @property
    def places(self) -> RowPlaces:
        return RowPlaces(in_bytes=self.source.bytes, out_bytes=self.out.bytes, row_elements=self.row_elements)

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        text = {
            "format": list(VERSION),
            "name": self.name,
            "parameters": dict(self.parameters),
            "scales": dict(self.scales),
            "rows": {"source": str(self.source), "out": str(self.out), "elements": self.row_elements},
            "configuration": f"{self.configuration:016x}",
        }
        (folder / BLOCK_MANIFEST).write_text(json.dumps(text, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "BlockManifest":
        """Read a folder of `celosia generate`; it is not trusted. Raises ManifestError, which names the file, where it is missing, damaged,
        or of another version."""
        path = folder / BLOCK_MANIFEST
        with reading(path, "a folder of celosia generate with a block for boards", missing="is missing or unknown"):
            text = json.loads(path.read_text())
            check_format(text, "generate the block")
            rows = text["rows"]
            found = cls(
                name=str(text["name"]),
                parameters=dict(text["parameters"]),
                scales=dict(text["scales"]),
                source=FORMATS[rows["source"]],
                out=FORMATS[rows["out"]],
                row_elements=rows["elements"],
            )
            if type(found.row_elements) is not int or found.row_elements < 0:
                raise ValueError(f"elements must be an integer from 0 on, not {found.row_elements!r}")
            if text["configuration"] != f"{found.configuration:016x}":
                raise ValueError("the configuration hash is not that of the block, its parameters and scales")
            return found
