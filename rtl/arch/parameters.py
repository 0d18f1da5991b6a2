"""Parameters of a machine: what the user chooses, checked, and what follows from it."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from typing_extensions import Self

from .checks import power_of_two, require
from .deform import DeformCircuit
from .dram import PRESETS, Dram, NumberFormat
from .formats import FACTOR_BITS, narrowness

if TYPE_CHECKING:
    from .links import Connections

VERSION = (0, 5)  # of the step and register formats: major, minor
EXTERNAL_ADDRESS_BITS = 32
TILE_CYCLES = 4  # at least, between two rows of the same index in the array: the accumulator's read, add and write
NO_PIM = "none"
DEPTHWISE_TAPS = 4  # pixels that the array's columns take at once, each for its own channel


@dataclass(frozen=True, kw_only=True)
class MachineParameters:
    """A machine of compute units, one vector engine, a load and a store engine around a banked scratchpad.

    units: compute units, which do different steps at the same time: 1 to 16.
    rows: multiply-accumulators along K; also the bytes of a scratchpad word.
    cols: output channels that a unit computes at once; a multiple or a divisor of rows.
    lanes: elements per cycle of the vector engine.
    scratchpad_kib: at most this much is built: banks * bank_words * word_bytes.
    banks: of the scratchpad, each with one read and one write port; at least one for each word of b that the units read at once.
    accumulator_depth: rows of int32 partial sums that a compute unit holds.
    bus_bytes: width of the AXI4 memory port.
    row_elements: longest row that softmax and LayerNorm take.
    queue_depth: steps that wait at each engine.
    weight_bits: of the widest elements of b that the compute unit takes.
    multiplier_bits: the wider operand of the target's multiplier blocks: 18 of ECP5's MULT18X18D, 27 of UltraScale+'s DSP48E2. Two columns
    of the array share a block where their weights fit it.
    lut_rows: rows of the array whose products are made of LUTs, where the target has too few multiplier blocks for all of them.
    depthwise_taps: pixels that a square array takes at once, each column its own channel of them; without any it convolves no channel
    by itself. Their multipliers are not shared.
    requantizer_columns: columns of the array that share a requantizer. Results then take as many cycles a row, hidden where K has as many
    tiles.
    factor_bits: of the factor that a group of rows of b has for each channel; without any, b has one scale for each channel.
    residual: 1 where the compute unit can add a matrix to its results, which else takes the vector engine.
    packing: 1 where a compute unit can keep maps of few channels without gaps, and pool them or repeat their pixels on their way.
    transformer: 0 where the vector engine leaves out softmax, LayerNorm and GELU, most of its multipliers.
    pruning: 1 where the vector engine keeps how important each token is, picks tokens by it, and gathers their rows.
    b_words: scratchpad words of b that a compute unit reads at once, 1, 2 or 4: products of fewer rows than cols are as much faster.
    pim: the DRAM whose banks compute that the machine has beside its memory, by its preset: aim, gddr6 or hbm2; or none.
    pim_channels: of that DRAM, a power of two.
    deform_kernel: taps along an axis of the deformable convolution engine, 3 or 5; 0: the machine has none.
    deform_reach: pixels between the centre of its kernel and the farthest point, along an axis; its line buffer has twice as many rows.
    deform_width: pixels of a feature map's line that its line buffer takes.
    deform_free: 1 where taps may have offsets of their own.
    deform_bilinear: 1 where offsets may have a fraction.
    deform_masked: 1 where taps may have factors of their own.
    """

    rows: int = 16
    cols: int = 16
    lanes: int = 8
    scratchpad_kib: int = 128
    banks: int = 4
    accumulator_depth: int = 256
    bus_bytes: int = 8
    row_elements: int = 1024
    queue_depth: int = 4
    weight_bits: int = 8
    multiplier_bits: int = 18
    lut_rows: int = 0
    depthwise_taps: int = DEPTHWISE_TAPS
    requantizer_columns: int = 1
    factor_bits: int = 0
    residual: int = 0
    packing: int = 0
    transformer: int = 1
    pruning: int = 0
    units: int = 1
    b_words: int = 1
    pim: str = NO_PIM
    pim_channels: int = 1
    deform_kernel: int = 0
    deform_reach: int = 7
    deform_width: int = 64
    deform_free: int = 0
    deform_bilinear: int = 0
    deform_masked: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "pim":
                require(type(value) is int, name, "an integer", value)
        require(4 <= self.rows <= 64 and self.rows % 2 == 0, "rows", "even and in 4..64", self.rows)
        require(1 <= self.cols <= 64, "cols", "in 1..64", self.cols)
        require(
            self.cols % self.rows == 0 or self.rows % self.cols == 0,
            "cols",
            f"a multiple or divisor of rows ({self.rows})",
            self.cols,
        )
        require(
            self.lanes > 0 and (self.rows // 2) % self.lanes == 0,
            "lanes",
            f"a divisor of rows / 2 ({self.rows // 2})",
            self.lanes,
        )
        require(self.banks in (1, 2, 4, 8, 16), "banks", "1, 2, 4, 8 or 16", self.banks)
        require(1 <= self.scratchpad_kib <= 65536, "scratchpad_kib", "in 1..65536", self.scratchpad_kib)
        require(
            self.scratchpad_kib * 1024 >= 16 * self.banks * self.rows,
            "scratchpad_kib",
            f"enough for 16 words in each of {self.banks} banks",
            self.scratchpad_kib,
        )
        require(
            power_of_two(self.accumulator_depth) and 16 <= self.accumulator_depth <= 4096,
            "accumulator_depth",
            "a power of two in 16..4096",
            self.accumulator_depth,
        )
        require(self.bus_bytes in (4, 8, 16, 32), "bus_bytes", "4, 8, 16 or 32", self.bus_bytes)
        require(
            power_of_two(self.row_elements) and 16 <= self.row_elements <= 8192,
            "row_elements",
            "a power of two in 16..8192",
            self.row_elements,
        )
        require(
            power_of_two(self.queue_depth) and 2 <= self.queue_depth <= 16,
            "queue_depth",
            "2, 4, 8 or 16",
            self.queue_depth,
        )
        require(self.weight_bits in (4, 8), "weight_bits", "4 or 8", self.weight_bits)
        require(self.multiplier_bits in (18, 27), "multiplier_bits", "18 or 27", self.multiplier_bits)
        require(0 <= self.lut_rows <= self.rows // 2, "lut_rows", f"in 0..rows / 2 ({self.rows // 2})", self.lut_rows)
        require(self.depthwise_taps in (0, DEPTHWISE_TAPS), "depthwise_taps", f"0 or {DEPTHWISE_TAPS}", self.depthwise_taps)
        require(
            power_of_two(self.requantizer_columns) and self.cols % self.requantizer_columns == 0,
            "requantizer_columns",
            f"a power of two that divides cols ({self.cols})",
            self.requantizer_columns,
        )
        require(self.factor_bits in (0, FACTOR_BITS), "factor_bits", f"0 or {FACTOR_BITS}", self.factor_bits)
        require(self.residual in (0, 1), "residual", "0 or 1", self.residual)
        require(self.packing in (0, 1), "packing", "0 or 1", self.packing)
        packs = self.reads_any_byte and 2 * self.cols <= self.rows
        require(not self.packing or packs, "packing", "0 unless rows is a power of two, and cols at most its half", self.packing)
        require(self.transformer in (0, 1), "transformer", "0 or 1", self.transformer)
        require(self.pruning in (0, 1), "pruning", "0 or 1", self.pruning)
        require(not self.pruning or power_of_two(self.lanes), "lanes", "a power of two where the machine has pruning", self.lanes)
        require(1 <= self.units <= self.banks, "units", f"at least 1 and at most banks ({self.banks})", self.units)
        most = self.banks // self.unit_places
        allowed = f"1, 2 or 4, and at most banks / units ({most})"
        require(self.b_words in (1, 2, 4) and self.b_words <= most, "b_words", allowed, self.b_words)
        require(self.pim in (NO_PIM, *PRESETS), "pim", f"one of {', '.join((NO_PIM, *PRESETS))}", self.pim)
        channels = self.pim_channels
        require(power_of_two(channels) and channels <= 32, "pim_channels", "a power of two in 1..32", channels)
        require(self.deform_kernel in (0, 3, 5), "deform_kernel", "0, 3 or 5", self.deform_kernel)
        for name in ("deform_free", "deform_bilinear", "deform_masked"):
            require(getattr(self, name) in (0, 1), name, "0 or 1", getattr(self, name))
        self._deform(self.deform_kernel or 3)  # which checks its own
        dram = self.dram
        if dram:
            fits = power_of_two(self.rows) and 8 <= self.rows <= dram.column_bytes
            require(fits, "rows", f"a power of two in 8..{dram.column_bytes} where the machine has a pim", self.rows)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> Self:
        """From untrusted names and values (a TOML file, a manifest). Raises ParameterError."""
        known = cls.__dataclass_fields__
        for name in values:
            require(name in known, "parameter name", f"one of {', '.join(known)}", name)
        return cls(**values)  # pyright: ignore[reportArgumentType] - types are checked in __post_init__

    @property
    def dram(self) -> Dram | None:
        """The DRAM whose banks compute."""
        return replace(PRESETS[self.pim], channels=self.pim_channels) if self.pim in PRESETS else None

    @property
    def deform(self) -> DeformCircuit | None:
        """The deformable convolution engine."""
        return self._deform(self.deform_kernel) if self.deform_kernel else None

    def _deform(self, kernel: int) -> DeformCircuit:
        return DeformCircuit(
            kernel=kernel,
            reach=self.deform_reach,
            width=self.deform_width,
            free=self.deform_free > 0,
            bilinear=self.deform_bilinear > 0,
            masked=self.deform_masked > 0,
        )

    @property
    def deform_weight_words(self) -> int:
        """Words of a kernel's weights of a word of channels."""
        return -(-(self.deform_kernel**2) * self.weight_bits // 8)

    @property
    def deform_group_words(self) -> int:
        """Words of a kernel's weights and CHANNEL records of a word of channels."""
        return self.deform_weight_words + 8

    @property
    def word_bytes(self) -> int:
        """Bytes of a scratchpad word: one slice of K for all rows."""
        return self.rows

    @property
    def bank_words(self) -> int:
        """Words of a bank, a power of two."""
        words = self.scratchpad_kib * 1024 // (self.banks * self.word_bytes)
        return 1 << (words.bit_length() - 1)

    @property
    def unit_places(self) -> int:
        """The next power of two from ``units`` on."""
        return 1 << (self.units - 1).bit_length()

    @property
    def interleaved(self) -> int:
        """Banks that words in a row take turns in: what units read of a matrix at the same time lies in different ones."""
        return self.unit_places * self.b_words

    @property
    def region_words(self) -> int:
        """Words in a row that share their banks."""
        return self.interleaved * self.bank_words

    @property
    def scratchpad_words(self) -> int:
        return self.banks * self.bank_words

    @property
    def beats_per_word(self) -> int:
        """Bus beats that hold one scratchpad word in external memory."""
        return -(-self.word_bytes // self.bus_bytes)

    @property
    def slot_bytes(self) -> int:
        """Bytes that one scratchpad word takes in external memory: whole beats."""
        return self.beats_per_word * self.bus_bytes

    @property
    def channel_words(self) -> int:
        """Words of the requantization parameters of one tile of cols channels, 8 bytes a channel."""
        return -(-8 * self.cols // self.word_bytes)

    @property
    def factor_words(self) -> int:
        """Words of the factors of one tap and tile of cols channels, a byte a channel."""
        return -(-self.cols // self.word_bytes)

    @property
    def reads_any_byte(self) -> bool:
        """Whether the compute unit's rows of a may start at any byte; else at words."""
        return power_of_two(self.rows)

    @property
    def pools(self) -> bool:
        """Whether results that are packed can be pooled: they lie in pairs."""
        return self.packing > 0 and self.cols % 2 == 0

    @property
    def single_cycles(self) -> int:
        """As TILE_CYCLES, of a command with a single row: its sum need not go through the accumulator's memory."""
        return TILE_CYCLES if self.factor_bits else 1

    @property
    def depthwise(self) -> bool:
        """Whether the compute unit convolves channel by channel: a tile of columns is a word of channels."""
        return self.rows == self.cols and self.depthwise_taps > 0

    @property
    def least_narrow(self) -> int:
        """b_narrow of the widest elements of b."""
        return narrowness(self.weight_bits)

    @property
    def arrays(self) -> str:
        """The multiply-accumulators as text: ``8 x 8``, or ``2 of 8 x 8``."""
        array = f"{self.rows} x {self.cols}"
        return array if self.units == 1 else f"{self.units} of {array}"

    @property
    def unit_macs(self) -> int:
        """Multiply-accumulates per cycle of a compute unit."""
        return self.rows * self.cols

    @property
    def peak_macs(self) -> int:
        """Of all of them."""
        return self.units * self.unit_macs

    @property
    def deform_macs(self) -> int:
        """As `peak_macs`, of the deformable convolution engine."""
        return self.word_bytes * self.deform_kernel**2

    @property
    def dram_macs(self) -> float:
        """As `peak_macs`, of int8 in the banks of the DRAM; 0 without one."""
        dram = self.dram
        return dram.channels * dram.banks * dram.lanes(NumberFormat.INT8) / dram.timing.ccd_l if dram else 0


def configuration_hash(parameters: MachineParameters, program: bytes | None, connections: "Connections | None" = None) -> int:
    """64 bits that identify a circuit: its parameters, the format version, in a ROM its program, and its connections."""
    connected = {} if connections is None else connections.as_dict()
    text = json.dumps({"version": VERSION, **asdict(parameters), **connected}, sort_keys=True)
    digest = hashlib.sha256(text.encode() + b"\0" + (program or b""))
    return int.from_bytes(digest.digest()[:8], "little")
