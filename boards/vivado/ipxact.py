"""IP-XACT's XML from tuples."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

NAMESPACES = {"spirit": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009", "xilinx": "http://www.xilinx.com"}

Tree = tuple[Any, ...]
"""A name, in SPIRIT's namespace where it has no prefix; then in any order a text or number, a mapping of attributes, a list of elements."""


def element(name: str, *children: Tree) -> ElementTree.Element:
    return _built((name, list(children)))


def named(kind: str, name: str, *children: Tree) -> Tree:
    """An element whose first one is its name."""
    return (kind, [("name", name), *children])


def vlnv(vendor: str, library: str, name: str) -> dict[str, str]:
    """What a bus is known by, of version 1.0."""
    return {"vendor": vendor, "library": library, "name": name, "version": "1.0"}


def write(root: ElementTree.Element) -> bytes:
    for prefix, uri in NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _built(tree: Tree) -> ElementTree.Element:
    name, *contents = tree
    made = ElementTree.Element(_qualified(name))
    for content in contents:
        if isinstance(content, Mapping):
            made.attrib |= {_qualified(key): value for key, value in content.items()}
        elif isinstance(content, Sequence) and not isinstance(content, str):
            made.extend(_built(child) for child in content)
        else:
            made.text = str(content)
    return made


def _qualified(name: str) -> str:
    prefix, _, local = name.rpartition(":")
    return f"{{{NAMESPACES[prefix or 'spirit']}}}{local}"
