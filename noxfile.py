"""The commands of the project: ``nox -s tests``, ``demo``, ``lint``, ``sim``, ``bench``."""

import nox

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "venv"


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that CI requires."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)
