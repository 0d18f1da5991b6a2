"""Run the network on the board that this folder was made for, in PYNQ's Python with celosia installed, as root.

python3 run.py INPUT OUTPUT, where INPUT is the array of the only input (.npy), or those of several by name (.npz); OUTPUT gets the outputs
by name (.npz).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from celosia.sw import open_device

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the network on this board.")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    loaded = np.load(arguments.input, allow_pickle=False)
    inputs = loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    with open_device(f"pynq:{HERE / 'system.bit'}", HERE / "network") as network:
        outputs: dict[str, Any] = network.run(inputs)
        cycles = network.counters()["cycles"]
    np.savez(arguments.output, **outputs)
    print(f"{arguments.output}: {', '.join(outputs)}, in {cycles:,} cycles")


if __name__ == "__main__":
    main()
