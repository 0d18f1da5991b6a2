"""Combinational paths between a component's ports, read from Amaranth's netlist: exact and without a simulation."""

from amaranth.hdl._ir import Fragment, PortDirection, build_netlist
from amaranth.hdl._nir import FlipFlop, Net, Netlist
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In


def combinational_paths(component: wiring.Component) -> set[tuple[str, str]]:
    """Pairs (input port, output port), named as in Verilog, of which the second can change with the first without a clock."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == In else PortDirection.Output
        ports["__".join(map(str, path))] = (value.as_value() if hasattr(value, "as_value") else value, direction)
    netlist = build_netlist(Fragment.get(component, None), ports, name="top")
    return {(source, port) for port, value in netlist.top.ports_o.items() for source in _sources(netlist, value)}


def _sources(netlist: Netlist, value: tuple[Net, ...]) -> set[str]:
    """Input ports on which ``value`` depends combinationally."""
    inputs = {start + bit: name for name, (start, width) in netlist.top.ports_i.items() for bit in range(width)}
    found, seen, todo = set(), set(), [*value]
    while todo:
        net = todo.pop()
        if net in seen or net.is_const:
            continue
        seen.add(net)
        if net.cell == 0:
            found.add(inputs[net.bit])
        elif not isinstance(netlist.cells[net.cell], FlipFlop):
            todo += [source for source, _ in netlist.cells[net.cell].comb_edges_to(net.bit)]
    return found


def stream_ports(component: wiring.Component) -> tuple[set[str], set[str]]:
    """Names of the streams into and out of ``component``."""
    members = {name: m for name, m in component.signature.members.items() if m.is_signature and isinstance(m.signature, stream.Signature)}
    into = {name for name, member in members.items() if member.flow == In}
    return into, members.keys() - into


def stream_path_faults(component: wiring.Component) -> list[str]:
    """The paths that the stream rules forbid, in words: an output's valid and payload may depend on no stream's signal, an
    input's ready on no output's ready."""
    into, out = stream_ports(component)
    streams = {f"{name}__{part}" for name in into | out for part in ("valid", "payload", "ready")}
    return sorted(
        f"{target} depends on {source}"
        for source, target in combinational_paths(component)
        if source in streams and target in streams and not (target.endswith("__ready") and source.removesuffix("__ready") not in out)
    )
