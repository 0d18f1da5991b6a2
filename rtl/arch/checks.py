"""Checks of parameters: what is wrong is said in one line."""


class ParameterError(ValueError):
    """A parameter out of its range: the message names it, its value and what is allowed."""


def require(condition: bool, name: str, allowed: str, value: object) -> None:
    """Raise ParameterError unless ``condition`` holds."""
    if not condition:
        raise ParameterError(f"{name} must be {allowed}, not {value!r}")


def power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0
