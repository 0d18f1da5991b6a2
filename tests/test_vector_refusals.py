"""Operations that a machine's vector engine does not have."""

import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine, Step, VectorOperation, vector_operations
from celosia.rtl.vector import VectorEngine
from celosia.sw.golden.machine import Machine
from refusals import refused

COMMON = {"rows": 1, "cols": 1, "length": 1, "multiplier_0": 1, "multiplier_1": 1}


@pytest.mark.parametrize("transformer", [0, 1])
@pytest.mark.parametrize("pruning", [0, 1])
def test_operations(transformer: int, pruning: int) -> None:
    parameters = MachineParameters(rows=4, cols=4, lanes=1, row_elements=16, transformer=transformer, pruning=pruning)
    missing = {VectorOperation.SOFTMAX, VectorOperation.GELU, VectorOperation.LAYERNORM} if not transformer else set()
    missing |= {VectorOperation.TOPK, VectorOperation.GATHER} if not pruning else set()
    assert vector_operations(parameters) == set(VectorOperation) - missing
    commands = [{**COMMON, "operation": operation} for operation in VectorOperation]
    assert refused(VectorEngine(parameters), Engine.VECTOR, commands) == [operation in missing for operation in VectorOperation]
    for operation in missing:
        with pytest.raises(ValueError, match=f"^this machine's vector engine does no {operation.name.lower()}$"):
            Machine(parameters, 64).run([Step(Engine.VECTOR, {**COMMON, "operation": operation})])
