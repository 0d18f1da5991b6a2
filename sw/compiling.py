"""From a QDQ ONNX file to a program."""

from pathlib import Path

from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.targets import DEFAULT_TARGET, TARGETS
from .compiler.decode import compile_decoder
from .compiler.errors import CompileError
from .compiler.patterns import Pattern, compile_graph
from .compiler.predict import DEFAULT_RESOURCES, Resources
from .compiler.program import Program
from .frontend import import_model
from .frontend.deform import EXACT, Offsets
from .pruning import Pruning, prune

NOTHING_LESS = Pruning()


def compile_model(
    model: Path | str,
    parameters: MachineParameters = TARGETS[DEFAULT_TARGET],
    pruning: Pruning = NOTHING_LESS,
    *,
    pattern: Pattern = Pattern.SEQUENTIAL,
    resources: Resources = DEFAULT_RESOURCES,
    offsets: Offsets = EXACT,
) -> Program:
    """Compile a QDQ ONNX file for a machine.

    pruning: what is left out of its attention; for a machine with pruning. pattern: whether its operators run one after the other or as
    pipelines, which a circuit made for the program alone can do. resources: that the pattern is chosen by. offsets: what those of
    deformable convolutions may be changed to. For a machine with a pim the
    network is a decoder: the graph of a causal sequence of tokens, which it computes a token at a time, with nothing left out and no
    pattern.

    Raises
    ------
    ModelError
        If the file can't be read or holds what can't be mapped.
    CompileError
        If an operator does not fit the machine.
    DecoderError, MappingError
        On a machine with a pim, if the network is no such sequence, or larger than the DRAM.
    """
    path = Path(model)
    if parameters.dram:
        if pruning or pattern is not Pattern.SEQUENTIAL:
            raise CompileError("on a machine with a pim nothing can be left out, nor a pattern chosen")
        return compile_decoder(import_model(path), parameters, resources, name=path.stem)
    graph = prune(import_model(path, offsets), pruning)
    return compile_graph(graph, parameters, name=path.stem, pattern=pattern, resources=resources)
