"""A decoder on a device: tokens in, one after the other, and for each the network's outputs."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..pim.cache import check_room
from .network import Network


class Decoder:
    """On a ``network`` with positions, which it owns. Keys and values of past tokens are in the device's DRAM.

    room: for so many tokens. length: of the sequence so far. Raises ValueError for a network that is no decoder.
    """

    def __init__(self, network: Network) -> None:
        if not network.manifest.positions:
            raise ValueError(f"{network.manifest.name} is no decoder: it was compiled for a machine without a pim")
        self.network, self.room, self.length = network, network.manifest.positions, 0
        (self._port,) = network.manifest.inputs

    def step(self, token: int) -> dict[str, NDArray]:
        """The outputs by name at the next place, where ``token`` is, each of its ONNX shape for one token.

        Raises MappingError where there is no more room, InputError on a token that there isn't, MachineError where the machine stops.
        """
        check_room(self.room, self.length)
        outputs = self.network.run(np.full(self._port.port.shape, token, self._port.port.dtype), self.length)
        self.length += 1
        return outputs

    def generate(self, tokens: Iterable[int], choice: str) -> Iterator[int]:
        """What follows the tokens, as long as there is room: each is the output ``choice`` of the one before. Raises as `step`, and
        ValueError where there is no token to begin with."""
        outputs = None
        for token in tokens:
            outputs = self.step(token)
        if outputs is None:
            raise ValueError("there must be a token to begin with")
        while True:
            following = int(outputs[choice].item())
            yield following
            if self.length == self.room:
                return
            outputs = self.step(following)

    def restart(self) -> None:
        """With an empty sequence."""
        self.length = 0

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.network.close()
