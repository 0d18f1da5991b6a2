"""The golden models of top-k and of the k best against ONNX Runtime's, with many equal scores."""

import numpy as np
import onnx
import onnxruntime
from celosia.sw.golden.kbest import kbest
from celosia.sw.golden.topk import topk
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx_models import IR_VERSION


def _session() -> onnxruntime.InferenceSession:
    node = helper.make_node("TopK", ["scores", "k"], ["values", "indices"])
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [None]) for name in ("scores", "k", "values", "indices")]
    graph = helper.make_graph([node], "topk", infos[:2], infos[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=IR_VERSION)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


SESSION = _session()


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**31), 2**32 - 1)), min_size=1, max_size=80), st.data())
def test_is_that_of_onnx(scores: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(scores)))
    _, indices = SESSION.run(None, {"scores": np.array(scores, np.int64), "k": np.array([k], np.int64)})
    assert kbest(scores, k).tolist() == np.asarray(indices).tolist()
    assert topk(scores, k).tolist() == sorted(np.asarray(indices).tolist())


def test_gives_all_where_there_are_fewer() -> None:
    assert topk([3, 1, 2], 5).tolist() == [0, 1, 2]
    assert kbest([3, 1, 2], 5).tolist() == [0, 2, 1]
