"""Images a second of the digits network over the serial link of a whole ULX3S-85F, Verilated. Writes a table of docs/boards.md.

    python -m bench.link

The driver is the real one, at a pseudo-terminal; a request takes from its first byte on the board's pin to the last one of its reply. What
the host needs between them is left out.
"""

from pathlib import Path

import numpy as np
from celosia.boards import NETWORK_BOARDS
from celosia.gen.pages import write_section
from celosia.rtl.arch.targets import TARGETS
from celosia.sw import compile_model
from celosia.sw.driver.network import Network
from celosia.sw.driver.serial_device import SerialDevice
from celosia.sw.manifest import Manifest
from celosia.tb.board import VerilatedBoard, build_board
from celosia.tb.terminal import terminal

ROOT = Path(__file__).parents[1]
NETWORK = ROOT / "examples" / "digits" / "digits_qdq.onnx"
MACHINE = TARGETS["tiny"]
BOARD = NETWORK_BOARDS["ulx3s-85f"]
RUNS = 10
STEP = 100  # cycles that are run at once: how exact the times are
HOLDS = (0, 1, 16)  # ms that an adapter holds back what it received: an FTDI chip's default is 16


class Watch:
    """On a board's line. to_board, to_host: bytes. spans: of each request the cycles of its first byte and of its reply's last one."""

    def __init__(self, board: VerilatedBoard) -> None:
        self._board, self.spans = board, list[list[int]]()
        self.to_board = self.to_host = 0

    def __call__(self, data: bytes) -> bytes:
        if data and (not self.spans or self.spans[-1][1]):
            self.spans.append([self._board.cycles, 0])
        answer = self._board.run(data, cycles=STEP)
        if answer:
            self.spans[-1][1] = self._board.cycles
        self.to_board, self.to_host = self.to_board + len(data), self.to_host + len(answer)
        return answer

    @property
    def counts(self) -> np.ndarray:
        """Bytes to the board, to the host, requests, cycles."""
        return np.array([self.to_board, self.to_host, len(self.spans), sum(last - first for first, last in self.spans)])


def main() -> None:
    manifest = Manifest.of(compile_model(NETWORK, MACHINE), rom=False)
    system = BOARD.system(manifest)
    with VerilatedBoard(build_board(system), system.serial) as board:
        watch = Watch(board)
        with terminal(watch) as line, Network(SerialDevice(line.port, timeout=60), manifest) as network:
            before = watch.counts
            network.upload()
            uploaded = watch.counts
            for seed in range(RUNS):
                network.run(np.random.default_rng(seed).random((1, 1, 8, 8), np.float32))
            to_board, to_host, requests, cycles = (watch.counts - uploaded) / RUNS
            of_machine = network.counters()["cycles"]
    milliseconds = 1000 * cycles / BOARD.clock
    lines = [
        f"An image of the digits network, {MACHINE.rows} x {MACHINE.cols} at {BOARD.clock / 1e6:.0f} MHz, "
        f"{system.serial.baud / 1e6:.0f} Mbaud: {to_board:,.0f} bytes to the board, {to_host:,.0f} back, in {requests:.0f} requests, which "
        f"take {cycles:,.0f} cycles or {milliseconds:.2f} ms, {of_machine:,} of them the machine's. Constants and program once: "
        f"{(uploaded - before)[3] / BOARD.clock:.2f} s.",
        "",
        "| an adapter holds back what it received, ms | images a second |",
        "|---:|---:|",
        *(f"| {hold} | {1000 / (milliseconds + requests * hold):,.0f} |" for hold in HOLDS),
    ]
    write_section(ROOT / "docs" / "boards.md", "bench_link", "\n".join(lines))


if __name__ == "__main__":
    main()
