"""Checks of how ipsecmon, and others beside it, read NFLOG: groups, sockets, buffers."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecmon.agent.doctor_facts import Facts, Unread, known
from ipsecmon.agent.doctor_findings import Check, Seen, Severity
from ipsecmon.units import render_octets

__all__ = ["READING_CHECKS"]

MOST_NLBUFSIZ = 131_072  # nfulnl_set_nlbufsiz(), net/netfilter/nfnetlink_log.c


def _receive_buffer(facts: Facts) -> Iterator[Seen]:
    got = known(facts.agent).receive_buffer
    if got is not None and got < facts.wanted_buffer:
        limit = facts.rmem_max
        at_most = "" if isinstance(limit, Unread) else f"; net.core.rmem_max is {render_octets(limit)}"
        yield Seen(
            Severity.RISK,
            f"the NFLOG socket has {render_octets(got)} of receive buffer "
            f"and not {render_octets(facts.wanted_buffer)}{at_most}",
        )


def _group_owner(facts: Facts) -> Iterator[Seen]:
    ours = set(known(facts.agent).ports)
    for group, port in sorted(known(facts.owners).items()):
        if facts.is_ours(group) and port not in ours:
            yield Seen(Severity.RISK, f"NFLOG group {group} belongs to another program (netlink port {port})")


def _nlbufsiz(facts: Facts) -> Iterator[Seen]:
    for file, octets in known(facts.wishes):
        if octets > MOST_NLBUFSIZ:
            asked = f"{file} asks for a buffer of {octets:,} octets (nlbufsiz)"
            yield Seen(Severity.NOTE, f"{asked}; the kernel ignores more than {MOST_NLBUFSIZ:,}")


READING_CHECKS = (
    Check(
        "receive-buffer",
        "nflog_octets and nflog_packets: a burst overflows the socket, and copies are lost (lost_packets "
        "says how "
        "many). Totals stay right",
        "sysctl net.core.rmem_max to at least nflog.receive_buffer of the config, and restart",
        _receive_buffer,
    ),
    Check(
        "group-owner",
        "nothing yet: a new counter cannot have that group, and `run` or `reload` refuses. Two programs "
        "never "
        "share a group",
        "stop that program, or give ipsecmon other groups (nflog: groups: in its config)",
        _group_owner,
    ),
    Check(
        "nlbufsiz",
        "nothing of ipsecmon's: the numbers of that program, whose copies come in small buffers of about "
        "3.7 KB, as the kernel took the setting for none",
        "uacctd_nl_size: 131072 or less in that file, and start the program again",
        _nlbufsiz,
    ),
)
