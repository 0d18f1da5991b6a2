"""Modules that are alike, once: Amaranth writes one for each instance."""

import re
from collections.abc import Mapping
from functools import cache

_MODULE = re.compile(r"^((?:attribute [^\n]*\n)*)module (\S+)\n(.*?^end\n)", re.MULTILINE | re.DOTALL)  # attributes, name, body
_CELL = re.compile(r"^(\s*cell )(\S+)( )", re.MULTILINE)
_CONNECTIONS = re.compile(r"(?:^    connect .*\n)+", re.MULTILINE)  # of a cell
# With the attributes of its wire: what is before its number, that, and its name.
_PORT = re.compile(r"^((?:  attribute .*\n)*  wire width \d+ (?:signed )?(?:input|output|inout) )(\d+)( +\S+\n)", re.MULTILINE)


def shared(rtlil: str) -> str:
    """The same design, in which instances of modules that differ by nothing but their names, and the order of ports, are instances of the
    first of these."""
    bodies: Mapping[str, str] = {name: body for _, name, body in _MODULE.findall(rtlil)}
    instantiated = {cell[2] for body in bodies.values() for cell in _CELL.finditer(body)}
    first: dict[str, str] = {}  # module with a body

    @cache
    def kept(name: str) -> str:
        return first.setdefault(body(name), name)

    @cache
    def body(name: str) -> str:
        ordered = _by_name(bodies[name]) if name in instantiated else bodies[name]  # instances name the ports that they connect
        return _CELL.sub(lambda cell: cell[1] + (kept(cell[2]) if cell[2] in bodies else cell[2]) + cell[3], ordered)

    def written(module: re.Match[str]) -> str:
        attributes, name, _ = module.groups()
        return f"{attributes}module {name}\n{body(name)}" if kept(name) == name else ""

    return _MODULE.sub(written, rtlil)


def _by_name(body: str) -> str:
    """With the ports in the order of their names, those of instances too."""
    ports = sorted(_PORT.findall(body), key=lambda port: port[2])
    numbered = (f"{kind}{number}{name}" for number, (kind, _, name) in enumerate(ports))
    body = _PORT.sub(lambda _: next(numbered), body)
    return _CONNECTIONS.sub(lambda connections: "".join(sorted(connections[0].splitlines(keepends=True))), body)
