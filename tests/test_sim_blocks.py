"""Each block alone, against its golden model and the rules of streams."""

import pytest
from celosia.rtl.add import Add
from celosia.rtl.arch.blocks import LaneParameters, RowParameters
from celosia.rtl.gelu import Gelu
from celosia.rtl.layernorm import LayerNorm
from celosia.rtl.softmax import Softmax
from celosia.tb.paths import stream_path_faults
from celosia.tb.runner import run_bench


@pytest.mark.parametrize("lanes", [1, 3, 8])
@pytest.mark.parametrize("block", [Add, Gelu])
def test_elementwise(block: type[Add | Gelu], lanes: int) -> None:
    component = block(LaneParameters(lanes=lanes))
    assert stream_path_faults(component) == []
    run_bench(component, f"celosia.tb.test_{block.__name__.lower()}", {"lanes": lanes})


@pytest.mark.parametrize(("lanes", "row_elements"), [(1, 16), (3, 64), (8, 64)])
@pytest.mark.parametrize("block", [Softmax, LayerNorm])
def test_rowwise(block: type[Softmax | LayerNorm], lanes: int, row_elements: int) -> None:
    component = block(RowParameters(lanes=lanes, row_elements=row_elements))
    assert stream_path_faults(component) == []
    run_bench(component, f"celosia.tb.test_{block.__name__.lower()}", {"lanes": lanes, "row_elements": row_elements})
