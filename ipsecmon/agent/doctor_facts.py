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

__all__ = [
    "AgentFacts",
    "BufferWish",
    "Chain",
    "Fact",
    "Facts",
    "Flowtable",
    "IngressFilter",
    "LogRule",
    "Offloaded",
    "PathMtu",
    "Ruleset",
    "Unread",
    "known",
]

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


class Chain(NamedTuple):
    """table: with its family, or `iptables-legacy mangle`. is_base: packets come to it by a hook.

    rules: in order, each as its program prints it, less comments and prefixes.
    """

    table: str
    name: str
    is_base: bool
    rules: Sequence[str]


class Ruleset(NamedTuple):
    """Of nf_tables, in this network namespace; chains: of legacy iptables too."""

    flowtables: Sequence[Flowtable]
    log_rules: Sequence[LogRule]
    chains: Sequence[Chain] = ()


class IngressFilter(NamedTuple):
    """A filter at an interface's ingress, in the order in which they are tried.

    takes_esp, takes_others: whether it may take ESP (or ESP in UDP), and IP packets that are neither.
    takes_all: of what it may take it leaves none. shaper: the interface that it redirects to, or its policer;
    empty where it is none. ends: no later filter sees what it takes. is_opaque: what it takes is not known.
    """

    kind: str
    takes_esp: bool = True
    takes_others: bool = True
    takes_all: bool = False
    shaper: str = ""
    ends: bool = True
    is_opaque: bool = False


class PathMtu(NamedTuple):
    """What the kernel has learnt, or was told, of the path to a peer; octets of IP packets."""

    peer: str
    interface: str
    path: int
    link: int


class BufferWish(NamedTuple):
    """nlbufsiz, in octets, that a program asks the kernel for, by its config file."""

    file: str
    octets: int


@dataclass(frozen=True)
class AgentFacts:
    """What only the running agent knows; JSON values, so that it can be told over the control socket.

    rules_stand: None where they could not be asked. receive_buffer: octets that the smallest of its NFLOG
    sockets has, as the config counts them; None without a socket. ports: of these sockets.
    fragments: packets' fragments that this machine made, and in how many seconds; too_big: packets that it
    dropped as too big, in the same time. gaps: how often rules did not stand since the last hourly look, and
    how many milliseconds that was at most. ends: outer addresses of SAs.
    """

    rules_stand: Optional[bool]
    receive_buffer: Optional[int]
    ports: Sequence[int]
    sas: int
    offloaded: Sequence[int]
    fragments: Optional[tuple[int, float]]
    too_big: Optional[int] = None
    gaps: tuple[int, int] = (0, 0)
    ends: Sequence[str] = ()
    nfmarks_refused: Sequence[str] = ()


@dataclass(frozen=True)
class Facts:
    """ranges: of NFLOG groups, inclusive. has_tunnels: whether the config names any.

    lower: by interface of the line, it and what is below it (of a bond, a VLAN). gro: by
    interface of these. gro_beside: others that are up and have it on.
    modules: of the kernel, loaded or built in. owners: NFLOG group to netlink port. ingress: by interface.
    last_hour: tunnels, from the store. tags: whether our rules write nfmarks, if nothing overlaps their mask;
    nfmark_uses: what does, a sentence each. lacking: what our nft rules need and this kernel refuses.
    """

    table: str
    ranges: Sequence[tuple[int, int]]
    wanted_buffer: int
    has_tunnels: bool
    is_managed: bool
    release: str
    lower: Fact[Mapping[str, Sequence[str]]]
    gro: Fact[Mapping[str, bool]]
    gro_beside: Fact[Sequence[str]]
    modules: Fact[frozenset[str]]
    ruleset: Fact[Ruleset]
    owners: Fact[Mapping[int, int]]
    ingress: Fact[Mapping[str, Sequence[IngressFilter]]]
    rmem_max: Fact[int]
    is_clock_synchronised: Fact[bool]
    has_conntrack_accounting: Fact[bool]
    last_hour: Fact[Sequence[TunnelIncrement]]
    agent: Fact[AgentFacts]
    tags: bool
    nfmark_uses: Fact[Sequence[str]]
    lacking: Fact[Sequence[str]]
    path_mtus: Fact[Sequence[PathMtu]]
    wishes: Fact[Sequence[BufferWish]]

    def is_ours(self, group: int) -> bool:
        """Whether the config may use an NFLOG group."""
        return any(first <= group <= last for first, last in self.ranges)

    def interfaces(self) -> list[str]:
        """The line's, and those below."""
        return [name for names in known(self.lower).values() for name in names]

    def has_sas(self) -> bool:
        """Whether IPsec is known to run here."""
        return not isinstance(self.agent, Unread) and self.agent.sas > 0
