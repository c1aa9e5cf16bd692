"""What the doctor's checks look at: facts about this machine, the store and the running agent.

A fact that cannot be read, for want of a right or of an agent, is Unread with the reason: a check that
needs it says `unknown`, and never guesses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional, TypeVar, Union

from ipsecmon.errors import SourceError
from ipsecmon.model import TunnelIncrement

__all__ = ["AgentFacts", "Fact", "Facts", "Flowtable", "LogRule", "Offloaded", "Ruleset", "Unread", "known"]

_Told = TypeVar("_Told")


class Unread(NamedTuple):
    """why: one line, without a full stop."""

    why: str


Fact = Union[_Told, Unread]


def known(fact: Fact[_Told]) -> _Told:
    """Raises SourceError where the fact is Unread."""
    if isinstance(fact, Unread):
        raise SourceError(fact.why)
    return fact


class Offloaded(NamedTuple):
    """How many SAs have hardware offload, by direction; full: of both, those whose packets are, not their
    crypto alone."""

    inbound: int = 0
    outbound: int = 0
    full: int = 0


class Flowtable(NamedTuple):
    """is_used: a rule adds flows to it. has_counter: conntrack counters go on."""

    name: str
    devices: frozenset[str]
    has_counter: bool
    is_used: bool


class LogRule(NamedTuple):
    """One that logs to an NFLOG group. threshold: 0 where the rule says none."""

    table: str
    group: int
    threshold: int


class Ruleset(NamedTuple):
    """Of nf_tables, in this network namespace."""

    flowtables: Sequence[Flowtable]
    log_rules: Sequence[LogRule]


@dataclass(frozen=True)
class AgentFacts:
    """What only the running agent knows; JSON values, so that it can be told over the control socket.

    rules_stand: None where they could not be asked. receive_buffer: octets that the smallest of its NFLOG
    sockets has, as the config counts them; None without a socket. ports: of these sockets.
    fragments: packets' fragments that this machine made, and in how many seconds.
    """

    rules_stand: Optional[bool]
    receive_buffer: Optional[int]
    ports: Sequence[int]
    sas: int
    offloaded: Sequence[int]
    fragments: Optional[tuple[int, float]]


@dataclass(frozen=True)
class Facts:
    """ranges: of NFLOG groups, inclusive. has_tunnels: whether the config names any.

    lower: by interface of the line, it and what is below it (of a bond, a VLAN). gro: by interface.
    modules: of the kernel, loaded or built in. owners: NFLOG group to netlink port. ingress: by interface,
    what its ingress filters do with packets (mirred, police). last_hour: tunnels, from the store.
    """

    table: str
    ranges: Sequence[tuple[int, int]]
    wanted_buffer: int
    has_tunnels: bool
    is_managed: bool
    release: str
    lower: Fact[Mapping[str, Sequence[str]]]
    gro: Fact[Mapping[str, bool]]
    modules: Fact[frozenset[str]]
    ruleset: Fact[Ruleset]
    owners: Fact[Mapping[int, int]]
    ingress: Fact[Mapping[str, Sequence[str]]]
    rmem_max: Fact[int]
    is_clock_synchronised: Fact[bool]
    has_conntrack_accounting: Fact[bool]
    last_hour: Fact[Sequence[TunnelIncrement]]
    agent: Fact[AgentFacts]

    def is_ours(self, group: int) -> bool:
        """Whether the config may use an NFLOG group."""
        return any(first <= group <= last for first, last in self.ranges)

    def interfaces(self) -> list[str]:
        """The line's, and those below."""
        return [name for names in known(self.lower).values() for name in names]

    def has_sas(self) -> bool:
        """Whether IPsec is known to run here."""
        return not isinstance(self.agent, Unread) and self.agent.sas > 0
