"""What rules can count of each tunnel, and what is to be known about it.

Inside, a tunnel's rules take what its conditions say, first match wins. On the wire a rule sees the peer
alone: a tunnel has its ESP to itself only where it is named by nothing else and no tunnel before it
names that peer too; else the ESP stays in the built-in parts esp and nat-t.

peers: the addresses of each tunnel that is named by peers, by the counter's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ipsecmon.config.counters import Counter
from ipsecmon.config.ipsec import Ipsec

__all__ = ["Peers", "ruled_tunnels", "shadowed_tunnels", "untold_tunnels", "wire_tunnels"]

Peers = Mapping[str, Sequence[str]]


def ruled_tunnels(counters: Sequence[Counter]) -> dict[str, Ipsec]:
    """Those whose inner packets rules can tell, in order."""
    return {name: ipsec for name, ipsec in _tunnels(counters) if ipsec.has_rule}


def wire_tunnels(counters: Sequence[Counter], peers: Peers) -> dict[str, tuple[str, ...]]:
    """Those whose ESP rules can tell, in order, with the peers that no tunnel before takes whole."""
    found: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    shared: set[str] = set()
    for name, ipsec in _tunnels(counters):
        mine = tuple(address for address in peers.get(name, ()) if address not in taken)
        if mine and ipsec.is_by_peer_alone and shared.isdisjoint(mine):
            found[name] = mine
            taken.update(mine)
        shared.update(mine)
    return found


def shadowed_tunnels(counters: Sequence[Counter], peers: Peers) -> Iterator[str]:
    """One line for each peer of which a tunnel before takes everything."""
    wire, owners = wire_tunnels(counters, peers), _first_named(counters, peers)
    for name, _ in _tunnels(counters):
        for address in peers.get(name, ()):
            owner = owners[address]
            if owner != name and address in wire.get(owner, ()):
                yield f"counter {name}: peer {address} is counter {owner}'s too, which comes first"


def untold_tunnels(counters: Sequence[Counter], peers: Peers) -> Iterator[str]:
    """One line for each tunnel of which rules cannot tell something."""
    wire, owners = wire_tunnels(counters, peers), _first_named(counters, peers)
    anyones: list[str] = []
    for name, ipsec in _tunnels(counters):
        others = [owners[address] for address in peers.get(name, ()) if owners[address] != name]
        is_known = bool(peers.get(name)) or not ipsec.is_by_peer_alone
        is_shadowed = bool(others) and all(owners[address] in wire for address in peers[name])
        if not ipsec.has_rule:
            yield (
                f"counter {name}: no rule can tell a tunnel by {', '.join(ipsec.without_rule)}: its SAs "
                "alone count it, and rules count its packets in other counters"
            )
        elif name not in wire and is_known and not is_shadowed:
            shared = f", and counter {others[0]} names this peer too" if others else ""
            yield (
                f"counter {name}: its ESP on the wire is counted in esp and nat-t, and told by SPI: a rule "
                f"tells a tunnel by its peer alone{shared}"
            )
        elif name in wire and anyones:
            yield (
                f"counter {name}: its ESP on the wire includes that of counter {anyones[0]} with this peer, "
                "as that one comes first and names no peer"
            )
        anyones += [] if ipsec.peers else [name]


def _first_named(counters: Sequence[Counter], peers: Peers) -> dict[str, str]:
    """By address, the first tunnel that it is a peer of."""
    found: dict[str, str] = {}
    for name, _ in _tunnels(counters):
        for address in peers.get(name, ()):
            found.setdefault(address, name)
    return found


def _tunnels(counters: Sequence[Counter]) -> Iterator[tuple[str, Ipsec]]:
    return ((counter.name, counter.ipsec) for counter in counters if counter.ipsec is not None)
