"""Checks of the path that packets take: anti-replay, fragments, shaping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ipsecmon.agent.doctor_facts import Facts, known
from ipsecmon.agent.doctor_findings import Check, Seen, Severity
from ipsecmon.errors import SourceError
from ipsecmon.model import Direction

__all__ = ["FEW_FRAGMENTS", "PATH_CHECKS"]

_LATE_SHARE = 1e-4  # of inbound packets: what TCP begins to feel
_FEW_LATE = 10
FEW_FRAGMENTS = 100  # between two looks: one DNS answer in a while is no trouble


def _anti_replay(facts: Facts) -> Iterator[Seen]:
    without: dict[str, int] = defaultdict(int)
    for one in known(facts.last_hour):
        if one.key.direction is Direction.IN:
            without[one.key.tunnel] += one.sas_without_anti_replay
    for tunnel, number in sorted(without.items()):
        if number:
            yield Seen(Severity.RISK, f"tunnel {tunnel}: {number} inbound SAs have no anti-replay window")


def _replay_window(facts: Facts) -> Iterator[Seen]:
    late: dict[str, int] = defaultdict(int)
    arrived: dict[str, int] = defaultdict(int)
    for one in known(facts.last_hour):
        if one.key.direction is Direction.IN:
            late[one.key.tunnel] += one.late_packets
            arrived[one.key.tunnel] += one.packets + one.late_packets
    for tunnel, number in sorted(late.items()):
        if number >= max(_FEW_LATE, arrived[tunnel] * _LATE_SHARE):
            share = f"{100 * number / arrived[tunnel]:.2g}%"
            when = "in the last hour, came after the window had passed them"
            yield Seen(Severity.RISK, f"tunnel {tunnel}: {number:,} packets ({share}), {when}")


def _fragmentation(facts: Facts) -> Iterator[Seen]:
    made = known(facts.agent).fragments
    if made is None:
        raise SourceError("the agent has looked only once, and a number that grows needs two looks")
    number, seconds = made
    if number >= FEW_FRAGMENTS:
        minutes = f"{seconds / 60:.0f} min"
        yield Seen(Severity.RISK, f"this router made {number:,} fragments in {minutes} (FragCreates)")


def _ingress_shaping(facts: Facts) -> Iterator[Seen]:
    for interface, actions in sorted(known(facts.ingress).items()):
        if actions and (facts.has_tunnels or facts.has_sas()):
            did = " and ".join(sorted(set(actions)))
            where = f"filters at the ingress of {interface}"
            yield Seen(Severity.RISK, f"{where} shape or drop ({did}), and IPsec ends here")


PATH_CHECKS = (
    Check(
        "anti-replay-off",
        "path loss of the tunnel: it is not known, and replayed packets count as traffic",
        "let IKE set a window (strongSwan replay_window = 64, libreswan replay-window=64)",
        _anti_replay,
    ),
    Check(
        "replay-window-small",
        "the tunnel's overhead and goodput: late packets are on the wire, and the kernel drops them before "
        "they "
        "are inside",
        "a larger window (strongSwan replay_window = 1024, libreswan replay-window=1024); find what reorders",
        _replay_window,
    ),
    Check(
        "fragmentation",
        "the line against the interface: fragments after the first have IP headers that rules do not see, 20 "
        "octets each. Goodput falls",
        "lower the tunnel's MTU or clamp TCP's MSS (iptables -j TCPMSS --clamp-mss-to-pmtu)",
        _fragmentation,
    ),
    Check(
        "ingress-shaping",
        "no counter; the rate: what comes out of IPsec passes the same ingress again, so the shaper counts "
        "the "
        "tunnel twice and the line looks full at half of it",
        "let the filter take only what is not yet decrypted (a tc filter on IP protocol 50 and UDP 4500), "
        "or shape "
        "the LAN side's egress",
        _ingress_shaping,
    ),
)
