"""Vivado's scripts, read without Vivado: a parser of Tcl, the commands that there are, and the block design that a script makes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from tclint.commands import builtin
from tclint.commands.schema import commands_schema
from tclint.parser import Parser
from tclint.syntax_tree import Command, CommandSub, Node, VarSub

ANY = 99
TCL = cast(dict[str, Any], builtin.commands)


def _takes(low: int, high: int, *flags: str, **valued: str) -> dict[str, Any]:
    """A command of ``low`` to ``high`` words, or any number of them. flags: switches. valued: those with a value, by what that is."""
    needed = [{"name": f"word{i}", "required": True, "value": {"type": "any"}} for i in range(low)]
    kind = {"type": "variadic"} if high == ANY else {"type": "any"}
    more = [{"name": f"more{i}", "required": False, "value": kind} for i in range(1 if high == ANY else high - low)]
    switches = {f"-{flag}": {"required": False, "repeated": False, "value": None} for flag in flags}
    switches |= {
        f"-{name}": {"required": False, "repeated": False, "value": {"type": "any"}, "metavar": text} for name, text in valued.items()
    }
    return {"positionals": needed + more, "switches": switches}


# As UG835 and UG994 describe them, with the switches that are in use here.
VIVADO = cast(
    dict[str, Any],
    commands_schema(
        {
            "add_files": _takes(1, 1, "norecurse", fileset="set"),
            "apply_bd_automation": _takes(1, 1, rule="vlnv", config="settings"),
            "assign_bd_address": _takes(0, 1, "force", offset="address", range="bytes", target_address_space="space"),
            "connect_bd_intf_net": _takes(2, 2),
            "connect_bd_net": _takes(2, ANY),
            "create_bd_cell": _takes(1, 1, type="kind", vlnv="core"),
            "create_bd_design": _takes(1, 1),
            "create_bd_port": _takes(1, 1, dir="direction", type="kind", freq_hz="rate"),
            "create_project": _takes(1, 2, "force", part="part"),
            "current_design": _takes(0, 0),
            "current_fileset": _takes(0, 0),
            "current_project": _takes(0, 0),
            "generate_target": _takes(2, 2),
            **{f"get_bd_{kind}": _takes(1, 1) for kind in ("addr_segs", "addr_spaces", "cells", "intf_pins", "pins", "ports")},
            **{f"get_{kind}": _takes(1, 1) for kind in ("files", "ports", "runs")},
            "get_property": _takes(2, 2),
            "ipgui::add_param": _takes(1, 1, name="name"),
            "launch_runs": _takes(1, 1, jobs="number", to_step="step"),
            "make_wrapper": _takes(0, 0, "top", files="designs"),
            "open_run": _takes(1, 1),
            "report_timing_summary": _takes(0, 0, file="file"),
            "report_utilization": _takes(0, 0, "return_string", file="file"),
            "save_bd_design": _takes(0, 0),
            "set_property": _takes(1, 3, dict="settings"),  # NAME VALUE OBJECTS, or -dict {NAME VALUE ...} OBJECTS
            "update_compile_order": _takes(0, 0, fileset="set"),
            "update_ip_catalog": _takes(0, 0),
            "validate_bd_design": _takes(0, 0),
            "wait_on_run": _takes(1, 1),
            "write_hw_platform": _takes(0, 0, "fixed", "include_bit", "force", file="file"),
        }
    ),
)


def commands(script: str) -> list[Command]:
    """All of a script, those inside of others too, each behind those that are its words. Fails where it is no Tcl, or a command is unknown,
    or its words are not such as it takes."""
    parser = Parser(commands=TCL | VIVADO)
    tree = parser.parse(script)
    assert not parser.violations, [str(violation) for violation in parser.violations]
    found = list(_walk(tree))
    procedures = {command.args[0].contents for command in found if command.routine.contents == "proc"}
    unknown = {command.routine.contents for command in found} - TCL.keys() - VIVADO.keys() - procedures
    assert not unknown
    return found


def _walk(node: Node) -> Iterator[Command]:
    for child in node.children:
        yield from _walk(child)
    if isinstance(node, Command):
        yield node


def arguments(command: Command) -> tuple[list[Node], dict[str, str]]:
    """Words, and switches by name with what they say."""
    switches: dict[str, Any] = VIVADO[str(command.routine.contents)]["switches"]
    words, said, rest = [], {}, iter(command.args)
    for word in rest:
        if word.contents in switches:
            said[word.contents] = text(next(rest)) if switches[word.contents]["value"] else ""
        else:
            words.append(word)
    return words, said


def text(word: Any) -> str:
    """What a word is, or of a query what is asked for: of `[get_bd_pins a/b]` a/b, of a list its words, of a variable its name."""
    if isinstance(word, CommandSub):
        (command,) = (child for child in word.children if isinstance(child, Command))
        return " ".join(map(text, command.args))
    if isinstance(word, VarSub):
        return f"${word.value}"
    return word.contents if word.contents is not None else "".join(text(child) for child in word.children)


def _routine(word: Any) -> str:
    (command,) = (child for child in word.children if isinstance(child, Command))
    return str(command.routine.contents)


@dataclass
class Design:
    """What a script makes. ports: direction by name. cells: core (vendor:library:name) by name. nets: of each the pins and ports that it
    joins, ports as /name. buses: of each the two ends. addresses: space, segment, offset, range; none where Vivado chooses."""

    ports: dict[str, str] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)
    nets: list[list[str]] = field(default_factory=list)
    buses: list[tuple[str, str]] = field(default_factory=list)
    addresses: list[tuple[str, str, int, int]] = field(default_factory=list)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, script: str) -> "Design":
        found = cls()
        for command in commands(script):
            if read := getattr(found, f"_{command.routine.contents}", None):
                read(*arguments(command))
        return found

    def _create_bd_port(self, words: list[Node], said: dict[str, str]) -> None:
        (name,) = map(text, words)
        assert name not in self.ports
        self.ports[name] = said["-dir"]

    def _create_bd_cell(self, words: list[Node], said: dict[str, str]) -> None:
        (name,) = map(text, words)
        assert name not in self.cells
        assert said["-type"] == "ip"
        self.cells[name] = ":".join(said["-vlnv"].split(":")[:3])

    def _connect_bd_net(self, words: list[Node], said: dict[str, str]) -> None:
        kinds = {"get_bd_pins": "", "get_bd_ports": "/"}
        self.nets.append([kinds[_routine(word)] + text(word) for word in words])

    def _connect_bd_intf_net(self, words: list[Node], said: dict[str, str]) -> None:
        assert {_routine(word) for word in words} == {"get_bd_intf_pins"}
        master, slave = map(text, words)
        self.buses.append((master, slave))

    def _assign_bd_address(self, words: list[Node], said: dict[str, str]) -> None:
        if words:
            segment, offset, size = text(words[0]), int(said["-offset"], 16), int(said["-range"], 16)
            self.addresses.append((said["-target_address_space"], segment, offset, size))

    def _set_property(self, words: list[Node], said: dict[str, str]) -> None:
        if "-dict" in said:
            listed = said["-dict"].split()
            self.settings[text(words[0])] = dict(zip(listed[::2], listed[1::2], strict=True))
