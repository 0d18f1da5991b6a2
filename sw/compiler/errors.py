"""What the compiler raises."""


class CompileError(ValueError):
    """A network that the machine can't run: one line that names the operator, its node, its shapes and the reason."""
