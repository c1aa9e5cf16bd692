"""Checks of how ipsecmon reads: its rules, its NFLOG groups and their sockets."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecmon.agent.doctor_facts import Facts, Unread, known
from ipsecmon.agent.doctor_findings import Check, Seen, Severity
from ipsecmon.errors import SourceError
from ipsecmon.units import render_octets

__all__ = ["READING_CHECKS"]


def _rules_missing(facts: Facts) -> Iterator[Seen]:
    stand = known(facts.agent).rules_stand
    if stand is None:
        raise SourceError("the agent's helper could not look at the rules just now")
    if not stand:
        ours, yours = "our rules are missing or were changed", "a group has no rule that counts"
        yield Seen(Severity.WRONG, ours if facts.is_managed else yours)


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


def _log_threshold(facts: Facts) -> Iterator[Seen]:
    for one in known(facts.ruleset).log_rules:
        if one.threshold == 1 and one.table != facts.table and facts.is_ours(one.group):
            what = f"a rule in table {one.table} logs to group {one.group} with threshold 1"
            yield Seen(Severity.RISK, what)


READING_CHECKS = (
    Check(
        "rules-missing",
        "every part of the line and every named counter: what passes now is in none. SA counters and the "
        "interface stay right",
        "ipsecmon rules status; what reloads the firewall (firewalld, iptables-restore) must leave our "
        "table or "
        "chains alone",
        _rules_missing,
    ),
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
        "log-threshold",
        "nflog_octets and nflog_packets: each packet is a message of its own, which loses copies at high "
        "rates "
        "(lost_packets says how many). Totals stay right",
        "give the rule --nflog-threshold 64 or more (nft: queue-threshold)",
        _log_threshold,
    ),
)
