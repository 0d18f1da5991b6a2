"""The command ``celosia``: says in one line what is missing when the HDL tools are not installed."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from .cli import main as command_line
    except ModuleNotFoundError as e:
        sys.exit(_missing(e))
    command_line()


def _missing(error: ModuleNotFoundError) -> int:
    print(f"celosia: the module {error.name} is missing: pip install 'celosia[hdl]'", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
