"""What is allowed but may not be meant, or is not there at this moment. Nothing here stops the agent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from ipsecmon.config.readers import parse_address
from ipsecmon.config.settings import Config
from ipsecmon.config.tunnels import ruled_tunnels, shadowed_tunnels, untold_tunnels

__all__ = ["Resolve", "resolve_host", "warnings"]

Resolve = Callable[[str], tuple[str, ...]]

_INTERFACES = Path("/sys/class/net")
_GRE_TYPES = ("778", "823")  # ARPHRD_IPGRE, ARPHRD_IP6GRE (linux/if_arp.h)
_OF_THE_KERNEL = ("gre0", "gretap0", "ip6gre0", "ip6gretap0")


def warnings(config: Config, interfaces: Path = _INTERFACES, resolve: Optional[Resolve] = None) -> list[str]:
    """One line each, in the order of the file. Host names are looked up, which may take seconds."""
    return [
        *_missing_interfaces(config, interfaces),
        *_peers(config, resolve or resolve_host),
        *_shadowed_matches(config),
        *_iptables(config),
        *_missing_files(config),
        *_missing_gre(config, interfaces),
    ]


def resolve_host(name: str) -> tuple[str, ...]:
    """Its addresses, sorted; none where it does not resolve."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(sorted({str(address[4][0]) for address in found}))


def _missing_interfaces(config: Config, interfaces: Path) -> Iterator[str]:
    for line in config.lines:
        for name in line.interfaces:
            if not (interfaces / name).exists():
                yield f"line {line.name}: there is no interface {name} now"


def _peers(config: Config, resolve: Resolve) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for counter in config.counters:
        for peer in counter.ipsec.peers if counter.ipsec else ():
            is_address = parse_address(peer) is not None
            addresses = (peer,) if is_address else resolve(peer)
            found.setdefault(counter.name, []).extend(addresses)
            if not is_address:
                meaning = f"resolves to {', '.join(addresses)}" if addresses else "does not resolve now"
                yield f"counter {counter.name}: peer {peer} {meaning}"
    yield from shadowed_tunnels(config.counters, found)
    if config.rules == "managed":
        yield from untold_tunnels(config.counters, found)


def _shadowed_matches(config: Config) -> Iterator[str]:
    for counter in config.counters:
        if counter.match is not None and counter.match.is_ike and counter.inside_tunnel is None:
            yield (
                f"counter {counter.name}: will stay at 0, because udp ports 500 and 4500 are counted "
                "before it, by the built-in parts ike and nat-t"
            )


def _iptables(config: Config) -> Iterator[str]:
    """What a rule set of iptables can't tell, where any counter could show it."""
    if config.rules != "managed" or not config.backend.startswith("iptables"):
        return
    matches = [counter.match for counter in config.counters if counter.match]
    if any(match.local or match.host or match.port for match in matches):
        yield (
            f"backend {config.backend}: where this router does NAT, the first packet of each forwarded "
            "connection is compared by its address before translation; nft has no such limit"
        )
    if ruled_tunnels(config.counters):
        yield (
            f"backend {config.backend}: a packet that this router's NAT translates into a tunnel is counted "
            "twice, clear and as ESP; nft has no such limit"
        )


def _missing_files(config: Config) -> Iterator[str]:
    for entry in config.sinks:
        for key, value in entry.settings:
            if key.endswith("_file") and isinstance(value, Path) and not _is_file(value):
                yield f"sink {entry.kind}: {key} {value} cannot be read now"
    names = config.warriors.names
    if names is not None and not _is_file(names):
        yield f"warriors: names {names} cannot be read now"


def _missing_gre(config: Config, interfaces: Path) -> Iterator[str]:
    """Those that the kernel makes by itself (gre0 and so on) have no far end."""
    wanted = [counter.name for counter in config.counters if counter.inside == "gre"]
    if wanted and not any(_is_gre(one) for one in interfaces.glob("*") if one.name not in _OF_THE_KERNEL):
        yield (
            f"counter {', '.join(wanted)}: there is no GRE interface now: inside: gre counts what is in GRE "
            "by the interface that ends it here"
        )


def _is_gre(interface: Path) -> bool:
    try:
        return (interface / "type").read_text().strip() in _GRE_TYPES or "DEVTYPE=gretap" in (
            interface / "uevent"
        ).read_text().replace("ip6gretap", "gretap")
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
