"""Images a second of the digits network over the serial link, from the bytes that a run takes on the wire and the machine's cycles.
Writes a table of docs/boards.md.

    python -m bench.link

The board's end is the golden model, on the simulated accelerator; the driver is the real one, at a pseudo-terminal. What the board needs
between request and reply, some cycles a word, is left out.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from celosia.gen.pages import write_section
from celosia.gen.project import build_simulator, write_project
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.serial import SerialParameters
from celosia.sw import compile_model
from celosia.sw.driver.network import Network
from celosia.sw.driver.serial_device import BAUD, BITS_OF_BYTE, SerialDevice
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.golden.serial import SerialBoard
from celosia.tb.terminal import terminal

ROOT = Path(__file__).parents[1]
NETWORK = ROOT / "examples" / "digits" / "digits_qdq.onnx"
MACHINE = MachineParameters(rows=8, cols=8, lanes=1, scratchpad_kib=64, bus_bytes=8)
CLOCK = 50_000_000
RUNS = 10
HOLDS = (0, 1, 16)  # ms that an adapter holds back what it received: an FTDI chip's default is 16


class Counted:
    """A board whose bytes are counted. to_board, to_host: bytes. replies: how often some went back."""

    def __init__(self, board: SerialBoard) -> None:
        self._board = board
        self.to_board = self.to_host = self.replies = 0

    def __call__(self, data: bytes) -> bytes:
        answer = self._board.receive(data)
        self.to_board, self.to_host, self.replies = self.to_board + len(data), self.to_host + len(answer), self.replies + bool(answer)
        return answer

    @property
    def counts(self) -> np.ndarray:
        return np.array([self.to_board, self.to_host, self.replies])


def main() -> None:
    with TemporaryDirectory() as folder:
        manifest = write_project(compile_model(NETWORK, MACHINE), Path(folder) / "out")
        size = -(-manifest.memory_bytes // 4) * 4
        with VerilatedDevice(build_simulator(Path(folder) / "out"), memory_bytes=size, latency=4) as device:
            counted = Counted(SerialBoard(SerialParameters(clock=CLOCK, memory_bytes=size), device))
            with terminal(counted) as line, Network(SerialDevice(line.port, timeout=5), manifest) as network:
                before = counted.counts
                network.upload()
                uploaded = counted.counts
                for seed in range(RUNS):
                    network.run(np.random.default_rng(seed).random((1, 1, 8, 8), np.float32))
                to_board, to_host, replies = (counted.counts - uploaded) / RUNS
                cycles = network.counters()["cycles"]
    wire, machine = 1000 * BITS_OF_BYTE * (to_board + to_host) / BAUD, 1000 * cycles / CLOCK
    upload = BITS_OF_BYTE * (uploaded - before)[:2].sum() / BAUD
    lines = [
        f"An image of the digits network, {MACHINE.rows} x {MACHINE.cols} at {CLOCK / 1e6:.0f} MHz, {BAUD / 1e6:.0f} Mbaud: "
        f"{to_board:,.0f} bytes to the board, {to_host:,.0f} back, in {replies:.0f} requests; {wire:.2f} ms on the wire, "
        f"{machine:.2f} ms of the machine ({cycles:,} cycles). Constants and program once: {upload:.2f} s.",
        "",
        "| an adapter holds back what it received, ms | images a second |",
        "|---:|---:|",
        *(f"| {hold} | {1000 / (wire + machine + replies * hold):,.0f} |" for hold in HOLDS),
    ]
    write_section(ROOT / "docs" / "boards.md", "bench_link", "\n".join(lines))


if __name__ == "__main__":
    main()
