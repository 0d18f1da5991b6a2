"""Functions of C++ libraries, through ctypes."""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any

INT, U32, U64, POINTER, TEXT = ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p
Function = tuple[str, Any, Sequence[Any]]  # its name, the type of its result, None without one, and those of its arguments


def declare_functions(lib: ctypes.CDLL, prefix: str, functions: Iterable[Function]) -> ctypes.CDLL:
    """The library, whose functions have these types. prefix: of their names. Raises AttributeError if it does not hold them all."""
    for name, result, arguments in functions:
        function = getattr(lib, prefix + name)
        function.restype, function.argtypes = result, arguments
    return lib
