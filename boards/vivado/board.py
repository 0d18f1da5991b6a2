"""Boards that Vivado fills: a folder with all that it needs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jinja2

from ...gen.folder import fresh_folder
from ...gen.platforms import Platform
from ...gen.project import TOP, accelerator
from ...gen.synthesis import Progress, unseen
from ...sw.manifest import Manifest
from ..board import BoardError
from .core import Core

SCRIPT, CORES, SYSTEM = "build.tcl", "ip", "system"
TEMPLATES = Path(__file__).with_name("templates")
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Project:
    """For Vivado. then: what to do with the bitstream."""

    then: str

    def lines(self, folder: Path) -> list[str]:
        """What a `Built` tells."""
        return [f"{folder}: vivado -mode batch -source {folder / SCRIPT} makes {SYSTEM}.bit in it", self.then]


@dataclass(frozen=True, kw_only=True)
class VivadoBoard(ABC):
    """name: as users know it. part, family: of the FPGA, as Vivado names them. clock: the system's, in Hz. platform: with the FPGA's
    blocks, where there are some; without it Vivado finds its own. template: of the script that joins the cores. then: what to do with the
    bitstream."""

    template: ClassVar[str]
    then: ClassVar[str]

    name: str
    part: str
    family: str
    clock: int
    platform: Platform | None = None

    @property
    def about(self) -> str:
        return f"{self.part}, by Vivado: networks"

    @abstractmethod
    def cores(self, manifest: Manifest) -> Sequence[Core]:
        """That its system is made of. Raises BoardError."""

    @abstractmethod
    def for_template(self) -> Mapping[str, Any]:
        """What the template asks for, beside what all boards have."""

    @abstractmethod
    def add_files(self, manifest: Manifest, folder: Path) -> None:
        """Write all else."""

    def accelerator(self, manifest: Manifest) -> Core:
        """The network's. Raises BoardError."""
        if manifest.parameters.dram:
            raise BoardError(f"{manifest.name} is for a machine with DRAM that computes, which {self.name} has not")
        component = accelerator(manifest)
        return Core(name=TOP, component=component, text="Celosia accelerator", family=self.family, platform=self.platform)

    def build(self, manifest: Manifest, folder: Path, progress: Progress = unseen) -> Project:
        """Write the cores, the script and what belongs to them: a `Board`'s."""
        progress("writing Verilog")
        with fresh_folder(folder, marker=SCRIPT) as new:
            cores = {core.name: core for core in self.cores(manifest)}
            about = {"part": self.part, "clock": self.clock, "cores": cores, **self.for_template()}
            for name, core in cores.items():
                core.write(new / CORES / name)
            (new / SCRIPT).write_text(_ENVIRONMENT.get_template(self.template).render(about))
            self.add_files(manifest, new)
        return Project(self.then)
