"""Checks of the path that packets take: anti-replay, fragments and what is too big, shaping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ipsecmon.agent.doctor_facts import Facts, IngressFilter, Unread, known
from ipsecmon.agent.doctor_findings import UNKNOWN, Check, Seen, Severity
from ipsecmon.errors import SourceError
from ipsecmon.model import Direction

__all__ = ["FEW_FRAGMENTS", "PATH_CHECKS"]

_LATE_SHARE = 1e-4  # of inbound packets: what TCP begins to feel
_FEW_LATE = 10
_MOST_PATHS = 10  # told one by one; more are rather one cause
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


def _path_mtu(facts: Facts) -> Iterator[Seen]:
    """Each half is told without the other."""
    if isinstance(facts.path_mtus, Unread):
        yield Seen(Severity.NOTE, UNKNOWN + facts.path_mtus.why)
    else:
        narrow = [one for one in facts.path_mtus if one.path < one.link]
        for peer, interface, path, link in narrow[:_MOST_PATHS]:
            takes = f"the path to {peer} takes packets of {path} octets at most"
            yield Seen(Severity.RISK, f"{takes}, and {interface} has an MTU of {link}")
    if isinstance(facts.agent, Unread):
        yield Seen(Severity.NOTE, UNKNOWN + facts.agent.why)
    elif facts.agent.too_big is not None and facts.agent.too_big >= FEW_FRAGMENTS:
        dropped = f"this router dropped {facts.agent.too_big:,} packets as too big"
        yield Seen(Severity.RISK, f"{dropped} since the last hourly look (FragFails)")


def _ingress_shaping(facts: Facts) -> Iterator[Seen]:
    if not facts.has_tunnels and not facts.has_sas():
        return
    for interface, filters in sorted(known(facts.ingress).items()):
        where = f"the ingress of {interface}"
        twice = sorted(_shapers_of_both(filters))
        if twice:
            what = f"{' and '.join(twice)} at {where}"
            yield Seen(Severity.RISK, f"{what} gets ESP and, once more, what comes out of it")
        elif any(one.shaper for one in filters) and any(one.is_opaque for one in filters):
            kinds = ", ".join(sorted({one.kind for one in filters if one.is_opaque}))
            yield Seen(Severity.NOTE, f"{UNKNOWN}what filters at {where} take: there are {kinds}")


def _shapers_of_both(filters: Sequence[IngressFilter]) -> set[str]:
    """Shapers that ESP comes to, and IP packets that are none."""
    has_esp, has_others = set(), set()
    esp_left = others_left = True
    for one in filters:
        if one.is_opaque:
            continue
        if one.shaper and one.takes_esp and esp_left:
            has_esp.add(one.shaper)
        if one.shaper and one.takes_others and others_left:
            has_others.add(one.shaper)
        if one.takes_all and one.ends:
            esp_left = esp_left and not one.takes_esp
            others_left = others_left and not one.takes_others
    return has_esp & has_others


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
        "path-mtu",
        "goodput of the tunnel: ESP that is larger is fragmented or dropped on its way, and where ICMP is "
        "dropped too, connections stall. No counter is wrong by it",
        "a lower MTU for what goes into the tunnel, or clamp TCP's MSS (iptables -j TCPMSS --set-mss); let "
        "ICMP `fragmentation needed` and `packet too big` pass",
        _path_mtu,
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
