"""The serial bridge against its golden model."""

import pytest
from celosia.rtl.arch.serial import SerialParameters
from celosia.rtl.serial.bridge import SerialBridge
from celosia.tb.runner import run_bench


@pytest.mark.parametrize("bus_bytes", [4, 16])
def test_bridge(bus_bytes: int) -> None:
    about = {"clock": 24_000_000, "payload_bytes": 64, "memory_bytes": 256, "bus_bytes": bus_bytes}
    run_bench(SerialBridge(SerialParameters(**about)), "celosia.tb.test_serial", about)
