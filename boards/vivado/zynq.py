"""Boards whose FPGA has a processing system that runs PYNQ: it is the host, and its memory the network's."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...gen.platforms import PLATFORMS
from ...sw.manifest import Manifest
from .board import SYSTEM, TEMPLATES, VivadoBoard
from .core import Core

NETWORK, RUN = "network", "run.py"


@dataclass(frozen=True, kw_only=True)
class ProcessingSystem:
    """Its core and settings, and the names of its pins: the master to the registers, the slave to memory, each with its clock; clock and
    reset (active low) for the FPGA; interrupt. external: pins that leave the FPGA beside it."""

    core: str
    settings: Mapping[str, str]
    master: str
    master_clock: str
    slave: str
    slave_clock: str
    clock: str
    reset: str
    interrupt: str
    external: str = ""


@dataclass(frozen=True, kw_only=True)
class ZynqBoard(VivadoBoard):
    system: ProcessingSystem

    template: ClassVar[str] = "zynq.tcl.j2"
    then: ClassVar[str] = (
        f"copy {SYSTEM}.bit, {SYSTEM}.hwh, {RUN} and {NETWORK}/ to one folder on the board; there, as root: python3 {RUN} x.npy y.npz"
    )

    def cores(self, manifest: Manifest) -> Sequence[Core]:
        return (self.accelerator(manifest),)

    def for_template(self) -> Mapping[str, Any]:
        return {"ps": asdict(self.system)}

    def add_files(self, manifest: Manifest, folder: Path) -> None:
        (folder / NETWORK).mkdir()
        manifest.save(folder / NETWORK)
        shutil.copyfile(TEMPLATES / RUN, folder / RUN)


_ZYNQ_CLOCK, _ULTRASCALE_CLOCK = 50_000_000, 100_000_000

PYNQ_Z2 = ZynqBoard(
    name="pynq-z2",
    part="xc7z020clg400-1",
    family="zynq",
    clock=_ZYNQ_CLOCK,
    system=ProcessingSystem(
        core="processing_system7",
        settings={
            "PCW_CRYSTAL_PERIPHERAL_FREQMHZ": "50",  # from which PYNQ takes FCLK_CLK0, too
            "PCW_FPGA0_PERIPHERAL_FREQMHZ": str(_ZYNQ_CLOCK // 1_000_000),
            "PCW_EN_CLK0_PORT": "1",
            "PCW_EN_RST0_PORT": "1",
            "PCW_USE_M_AXI_GP0": "1",
            "PCW_USE_S_AXI_HP0": "1",
            "PCW_S_AXI_HP0_DATA_WIDTH": "64",
            "PCW_USE_FABRIC_INTERRUPT": "1",
            "PCW_IRQ_F2P_INTR": "1",
        },
        master="M_AXI_GP0",
        master_clock="M_AXI_GP0_ACLK",
        slave="S_AXI_HP0",
        slave_clock="S_AXI_HP0_ACLK",
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        interrupt="IRQ_F2P",
        external="FIXED_IO, DDR",
    ),
)

ULTRA96_V2 = ZynqBoard(
    name="ultra96-v2",
    part="xczu3eg-sbva484-1-i",
    family="zynquplus",
    clock=_ULTRASCALE_CLOCK,
    platform=PLATFORMS["ultrascale"],
    system=ProcessingSystem(
        core="zynq_ultra_ps_e",
        # GP0 of the masters is HPM0_FPD, GP2 of the slaves HP0_FPD.
        settings={
            "PSU__FPGA_PL0_ENABLE": "1",
            "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": str(_ULTRASCALE_CLOCK // 1_000_000),
            "PSU__USE__M_AXI_GP0": "1",
            "PSU__USE__M_AXI_GP1": "0",
            "PSU__USE__M_AXI_GP2": "0",
            "PSU__USE__S_AXI_GP2": "1",
            "PSU__SAXIGP2__DATA_WIDTH": "128",
            "PSU__USE__IRQ0": "1",
        },
        master="M_AXI_HPM0_FPD",
        master_clock="maxihpm0_fpd_aclk",
        slave="S_AXI_HP0_FPD",
        slave_clock="saxihp0_fpd_aclk",
        clock="pl_clk0",
        reset="pl_resetn0",
        interrupt="pl_ps_irq0",
    ),
)
