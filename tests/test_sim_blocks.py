"""Each block alone, against its golden model and the rules of streams."""

from dataclasses import asdict

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from celosia.gen.platforms import PLATFORMS
from celosia.rtl.access import AddressGenerator
from celosia.rtl.add import Add
from celosia.rtl.arch.attention import AttentionCircuit
from celosia.rtl.arch.blocks import LaneCircuit
from celosia.rtl.arch.formats import INT8, INT16, INT32, UINT8, UINT16
from celosia.rtl.arch.layernorm import LayerNormCircuit
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.softmax import Mask, SoftmaxCircuit
from celosia.rtl.arch.steps import COUNT_BITS
from celosia.rtl.attention import Attention
from celosia.rtl.elements import Packer, Unpacker
from celosia.rtl.layernorm import LayerNorm
from celosia.rtl.mac_array import MacArray
from celosia.rtl.multiply import Multiply
from celosia.rtl.softmax import Softmax
from celosia.sw.golden.attention import AttentionParameters
from celosia.sw.golden.layernorm import LayerNormParameters
from celosia.sw.golden.softmax import SoftmaxParameters
from celosia.tb.paths import stream_path_faults
from celosia.tb.runner import run_bench


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_add(lanes: int) -> None:
    component = Add(LaneCircuit(lanes=lanes))
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_add", {"lanes": lanes})


@pytest.mark.parametrize("lanes", [1, 3])
def test_multiply(lanes: int) -> None:
    component = Multiply(LaneCircuit(lanes=lanes))
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_multiply", {"lanes": lanes})


SOFTMAX = [
    (SoftmaxCircuit(lanes=1, row_elements=16), None),
    (SoftmaxCircuit(lanes=8, row_elements=64, source=INT8, out=UINT8), {"in_scale": 0.05}),
    (SoftmaxCircuit(lanes=3, row_elements=64, source=INT8, out=UINT16, mask=Mask.LENGTH), None),
    (SoftmaxCircuit(lanes=4, row_elements=32, source=INT16, out=INT8, mask=Mask.CAUSAL), {"in_scale": 0.0005, "length": 2, "rows": 3}),
    (SoftmaxCircuit(lanes=2, row_elements=128, source=INT32, out=UINT16), None),
    (SoftmaxCircuit(lanes=3, row_elements=64, source=INT8, out=INT8, mask=Mask.CAUSAL, column_sums=True), None),
    (SoftmaxCircuit(lanes=64, row_elements=256, source=INT8, out=INT8), {"in_scale": 2.0, "out_scale": 1 / 200, "out_zero_point": -3}),
]


@pytest.mark.parametrize(("circuit", "scales"), SOFTMAX, ids=[f"{c.lanes}-{c.source}-{c.out}-{c.mask.value}" for c, _ in SOFTMAX])
def test_softmax(circuit: SoftmaxCircuit, scales: dict | None) -> None:
    fixed = None
    if scales is not None:
        parameters = SoftmaxParameters.from_scales(circuit, **scales)
        fixed = {field.name: getattr(parameters, field.name) for field in circuit.record.fields}
    component = Softmax(circuit, fixed)
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_softmax", {"circuit": circuit.as_dict(), "fixed": fixed})


LAYERNORM = [
    (LayerNormCircuit(lanes=1, row_elements=16), None),
    (LayerNormCircuit(lanes=8, row_elements=64, out=INT8), None),
    (LayerNormCircuit(lanes=3, row_elements=64, source=INT8, out=UINT16), None),
    (LayerNormCircuit(lanes=4, row_elements=32, out=UINT8), {"rms": True, "out_scale": 0.03}),
    (LayerNormCircuit(lanes=2, row_elements=128, source=INT8, out=INT8), {"out_scale": 0.03}),
    (LayerNormCircuit(lanes=64, row_elements=256), None),
]


@pytest.mark.parametrize(("circuit", "scales"), LAYERNORM, ids=[f"{c.lanes}-{c.source}-{c.out}" for c, _ in LAYERNORM])
def test_layernorm(circuit: LayerNormCircuit, scales: dict | None) -> None:
    fixed = None
    if scales is not None:
        usual = {"in_scale": 0.001, "epsilon": 1e-5, "out_zero_point": 3, "out": circuit.out}
        parameters = LayerNormParameters.from_scales(gamma=[1.0] * 10, beta=[1.0] * 10, **usual, **scales)
        fixed = {field.name: getattr(parameters, field.name) for field in circuit.record.fields}
    component = LayerNorm(circuit, fixed)
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_layernorm", {"circuit": circuit.as_dict(), "fixed": fixed})


ATTENTION = [
    (AttentionCircuit(lanes=1, row_elements=16, head_elements=5), None),
    (AttentionCircuit(lanes=8, row_elements=64, head_elements=24, source=INT8, out=UINT8), {"in_scale": 0.05}),
    (AttentionCircuit(lanes=3, row_elements=32, head_elements=7, source=INT8, out=UINT16), None),
    (AttentionCircuit(lanes=4, row_elements=32, head_elements=4, source=INT16, out=INT16), {"in_scale": 0.0005}),
    (AttentionCircuit(lanes=2, row_elements=16, head_elements=8, source=INT32, out=INT8), None),
    (AttentionCircuit(lanes=16, row_elements=32, head_elements=64), None),
]


@pytest.mark.parametrize(("circuit", "scales"), ATTENTION, ids=[f"{c.lanes}-{c.source}-{c.out}" for c, _ in ATTENTION])
def test_attention(circuit: AttentionCircuit, scales: dict | None) -> None:
    fixed = None
    if scales is not None:
        parameters = AttentionParameters.of(circuit, value_scale=0.02, out_scale=0.02, **scales)
        fixed = {field.name: getattr(parameters, field.name) for field in circuit.record.fields}
    component = Attention(circuit, fixed)
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_attention", {"circuit": circuit.as_dict(), "fixed": fixed})


class Repack(wiring.Component):
    """Words to beats to words, started by the reset."""

    def __init__(self, word_bytes: int, lanes: int) -> None:
        self._word_bytes, self._lanes = word_bytes, lanes
        words = stream.Signature(8 * word_bytes)
        super().__init__({"cols": In(COUNT_BITS), "wide_in": In(1), "wide_out": In(1), "i": In(words), "o": Out(words)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unpacker = unpacker = Unpacker(self._word_bytes, self._lanes)
        m.submodules.packer = packer = Packer(self._word_bytes, self._lanes)
        started = Signal()
        m.d.sync += started.eq(1)
        m.d.comb += [
            *(unpacker.start.eq(~started), packer.start.eq(~started)),
            unpacker.cols.eq(self.cols),
            unpacker.wide.eq(self.wide_in),
            packer.wide.eq(self.wide_out),
            unpacker.words.payload.eq(self.i.payload),
            unpacker.words.valid.eq(self.i.valid & started),
            self.i.ready.eq(unpacker.words.ready & started),
        ]
        connect(m, unpacker.beats, packer.beats)
        connect(m, flipped(self.o), packer.words)
        return m


@pytest.mark.parametrize(("word_bytes", "lanes"), [(4, 1), (12, 3), (16, 8)])
def test_repack(word_bytes: int, lanes: int) -> None:
    run_bench(Repack(word_bytes, lanes), "celosia.tb.test_repack", {"word_bytes": word_bytes, "lanes": lanes})


@pytest.mark.parametrize("steps", [(1, 1), (1, 12, 3)])
def test_addresses(steps: tuple[int, ...]) -> None:
    component = AddressGenerator(steps)
    assert stream_path_faults(component) == []
    run_bench(component, "celosia.tb.test_addresses", {"steps": steps})


def _array(rows: int, cols: int, **parameters: int) -> MachineParameters:
    return MachineParameters.from_dict({"rows": rows, "cols": cols, "lanes": 1, **parameters})


ARRAYS = {
    "int8, a multiplier each": _array(8, 8),
    "int8, shared": _array(8, 8, multiplier_bits=27, depthwise_taps=0),
    "int8, shared but for the depthwise rows": _array(10, 10, multiplier_bits=27),
    "int8, one column left over": _array(10, 5, multiplier_bits=27),
    "int8, some of LUTs": _array(12, 12, lut_rows=4),
    "int8, shared, some of LUTs": _array(8, 8, lut_rows=3, multiplier_bits=27, depthwise_taps=0),
    "int4, shared": _array(6, 12, weight_bits=4),
    "int4, shared sums": _array(12, 12, weight_bits=4, multiplier_bits=27),
    "int4, shared column sums": _array(8, 4, weight_bits=4, multiplier_bits=27),
}


@pytest.mark.parametrize("machine", ARRAYS.values(), ids=list(ARRAYS))
def test_mac_array(machine: MachineParameters) -> None:
    run_bench(MacArray(machine), "celosia.tb.test_mac_array", {"machine": asdict(machine), "every_product": False})


@pytest.mark.parametrize(
    ("name", "fpga"),
    [
        ("int8, a multiplier each", "ecp5"),
        ("int4, shared", "ecp5"),
        ("int8, a multiplier each", "ultrascale"),
        ("int8, shared", "ultrascale"),
    ],
)
def test_mac_array_of_blocks(name: str, fpga: str) -> None:
    about = {"machine": asdict(ARRAYS[name]), "every_product": False}
    run_bench(MacArray(ARRAYS[name]), "celosia.tb.test_mac_array", about, platform=PLATFORMS[fpga])


EXHAUSTIVE = [
    *(_array(4, 4, depthwise_taps=0, weight_bits=weight_bits, multiplier_bits=bits) for weight_bits, bits in ((8, 27), (4, 18), (4, 27))),
    _array(4, 4, depthwise_taps=0, lut_rows=2),
]


@pytest.mark.parametrize("machine", EXHAUSTIVE, ids=[f"int{m.weight_bits}-{m.multiplier_bits}-{m.lut_rows}" for m in EXHAUSTIVE])
def test_every_product(machine: MachineParameters) -> None:
    run_bench(MacArray(machine), "celosia.tb.test_mac_array", {"machine": asdict(machine), "every_product": True})
