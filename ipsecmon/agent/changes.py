"""What a new config changes, in words; what only a restart can change; and which sink is which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count

from ipsecmon.account.tunnel_match import TunnelRule
from ipsecmon.config import Config, Counter
from ipsecmon.errors import ConfigError

__all__ = ["check_reloadable", "name_sinks", "plan_changes", "sink_changes"]

_FIXED: Mapping[str, Callable[[Config], object]] = {
    "router": lambda config: config.router,
    "store.path": lambda config: config.store.path,
    "rules": lambda config: config.rules,
    "backend": lambda config: config.backend,
    "nfmark.mask": lambda config: f"0x{config.nfmark.mask:08x}",
    "xfrm.reader": lambda config: config.xfrm.reader,
    "nflog.receive_buffer": lambda config: config.nflog.receive_buffer_octets,
}
_SAID: Mapping[str, Callable[[Config], object]] = {
    "interval": lambda config: f"{config.interval_s} s",
    "line": lambda config: ", ".join(f"{line.name} on {line.interface}" for line in config.lines),
    "store.retention": lambda config: f"{config.store.retention_s // 86400} d",
    "nfmark.use": lambda config: config.nfmark.use,
    "nflog.groups": lambda config: ", ".join(f"{low}-{high}" for low, high in config.nflog.group_ranges),
}


def check_reloadable(now: Config, then: Config) -> None:
    """Raises ConfigError with everything that needs a restart."""
    wrong = [
        f"{key} is {value(now)} in the running agent and {value(then)} in the file: restart needed"
        for key, value in _FIXED.items()
        if value(now) != value(then)
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))


def plan_changes(
    now: Config, then: Config, tunnels: Sequence[TunnelRule], new_tunnels: Sequence[TunnelRule]
) -> list[str]:
    """One line each; without sinks."""
    said = [
        f"{key}: {value(now)} -> {value(then)}" for key, value in _SAID.items() if value(now) != value(then)
    ]
    said += _counter_changes(now.counters, then.counters)
    peers, new_peers = _peers(tunnels), _peers(new_tunnels)
    said += [
        f"counter {name}: its peer's addresses are now {', '.join(sorted(new_peers[name]))}"
        for name in peers.keys() & new_peers.keys()
        if peers[name] != new_peers[name]
    ]
    return said


def sink_changes(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    """Of sinks by name, each with what tells its settings."""
    return list(_differences("sink", now, then))


def name_sinks(wanted: Sequence[tuple[str, str]], before: Mapping[str, str]) -> list[str]:
    """A name for each (kind, what tells its settings): the one it had, else its kind's first free one.

    So no sink gets what waits for another one because a line above it was taken away.
    """
    had = dict(before)
    names = [
        next((name for name, told in had.items() if told == one and had.pop(name)), "") for _, one in wanted
    ]
    for position, (kind, _) in enumerate(wanted):
        if not names[position]:
            numbered = (kind if number == 1 else f"{kind}-{number}" for number in count(1))
            names[position] = next(name for name in numbered if name not in names)
    return names


def _counter_changes(now: Sequence[Counter], then: Sequence[Counter]) -> Iterator[str]:
    old, new = ({one.name: one for one in counters} for counters in (now, then))
    yield from _differences("counter", old, new)
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield "counters stand in another order"


def _differences(noun: str, now: Mapping[str, object], then: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{noun} {name} removed" for name in now if name not in then)
    yield from (f"{noun} {name} added" for name in then if name not in now)
    yield from (f"{noun} {name} changed" for name in now if name in then and now[name] != then[name])


def _peers(tunnels: Iterable[TunnelRule]) -> dict[str, frozenset[str]]:
    """Of tunnels that no rule can tell, too."""
    return {tunnel.name: tunnel.peers for tunnel in tunnels if tunnel.peers}
