"""Checks of rules, ours and those of others: whether ours stand, come first, and keep their nfmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipsecmon.agent.doctor_chains import hidden_behind, logs_to, overwritten
from ipsecmon.agent.doctor_facts import Chain, Facts, Unread, known
from ipsecmon.agent.doctor_findings import Check, Seen, Severity
from ipsecmon.errors import SourceError

__all__ = ["RULE_CHECKS"]

_MOST_USES = 5  # of the nfmark: who reads these knows the rest
_LONGEST_RULE = 100


def _rules_missing(facts: Facts) -> Iterator[Seen]:
    stand = known(facts.agent).rules_stand
    if stand is None:
        raise SourceError("the agent's helper could not look at the rules just now")
    if not stand:
        ours, yours = "our rules are missing or were changed", "a group has no rule that counts"
        yield Seen(Severity.WRONG, ours if facts.is_managed else yours)


def _rules_reloaded(facts: Facts) -> Iterator[Seen]:
    number, milliseconds = known(facts.agent).gaps
    if number:
        times = "once" if number == 1 else f"{number:,} times"
        seconds = f"{milliseconds / 1000:.1f} s at most"
        whose, after = ("our rules", f"they are back, after {seconds}")
        if not facts.is_managed:
            whose, after = ("rules of your groups", f"these did not count for {seconds}")
        what = f"{whose} were taken away, changed or loaded anew {times} since the last hourly look; {after}"
        yield Seen(Severity.RISK, what)


def _rules_behind(facts: Facts) -> Iterator[Seen]:
    chains = [one for one in known(facts.ruleset).chains if not _is_our_table(facts, one)]
    for chain, rule, ours in hidden_behind(chains, lambda rule: _is_ours(facts, rule)):
        where = f"chain {chain.name} of table {chain.table}"
        yield Seen(Severity.RISK, f"{where}: `{_cut(rule)}` comes before `{_cut(ours)}`")


def _nfmark_shared(facts: Facts) -> Iterator[Seen]:
    if facts.is_managed:
        yield from _overlaps(facts)
        return
    for chain, rule in overwritten(known(facts.ruleset).chains, lambda rule: _is_ours(facts, rule)):
        what = f"`{_cut(rule)}` in chain {chain.name} of table {chain.table}"
        yield Seen(Severity.RISK, f"{what} sets every bit of the nfmark, by which rules of your groups match")


def _overlaps(facts: Facts) -> Iterator[Seen]:
    """What the agent saw as it installed rules is why it does not tag; what came later may cut a VPN."""
    if not facts.tags:
        return
    refused = () if isinstance(facts.agent, Unread) else facts.agent.nfmarks_refused
    if refused:
        yield from _used(Severity.NOTE, "packets are not tagged", refused)
    elif isinstance(facts.agent, Unread):
        yield from _used(
            Severity.NOTE, "once it runs, the agent will not tag packets", known(facts.nfmark_uses)
        )
    else:
        yield from _used(Severity.RISK, "our rules tag packets", known(facts.nfmark_uses))


def _used(severity: Severity, said: str, uses: Sequence[str]) -> Iterator[Seen]:
    for use in uses[:_MOST_USES]:
        yield Seen(severity, f"{said}: {' '.join(use.split())}")


def _log_threshold(facts: Facts) -> Iterator[Seen]:
    for one in known(facts.ruleset).log_rules:
        if one.threshold == 1 and one.table != facts.table and facts.is_ours(one.group):
            what = f"a rule in table {one.table} logs to group {one.group} with threshold 1"
            yield Seen(Severity.RISK, what)


def _is_our_table(facts: Facts, chain: Chain) -> bool:
    return chain.table == f"inet {facts.table}"


def _is_ours(facts: Facts, rule: str) -> bool:
    """A jump to chains that we made; with `rules: manual`, one that logs to a group of the config."""
    if facts.is_managed:
        return f" {facts.table}-" in f" {rule}"
    group = logs_to(rule)
    return group is not None and facts.is_ours(group)


def _cut(rule: str) -> str:
    return rule if len(rule) <= _LONGEST_RULE else f"{rule[:_LONGEST_RULE]}…"


RULE_CHECKS = (
    Check(
        "rules-missing",
        "every part of the line and every named counter: what passes now is in none. SA counters and the "
        "interface stay right",
        "ipsecmon rules status; what reloads the firewall (firewalld, iptables-restore) must leave our "
        "table or chains alone",
        _rules_missing,
    ),
    Check(
        "rules-reloaded",
        "every part of the line and every named counter: what passed meanwhile is in none. `ipsecmon line` "
        "and `report` say how much that is at most; SA counters and the interface stay right",
        "let what reloads the firewall leave ours alone: `backend: nft` where it flushes iptables' tables; "
        "in /etc/nftables.conf `flush table` of its own tables and not `flush ruleset`",
        _rules_reloaded,
    ),
    Check(
        "rules-behind",
        "parts of the line and named counters: what the earlier rule accepts, ours never see",
        "put it behind ours; with `rules: managed` the agent puts ours first within an interval, and "
        "`backend: nft` has nothing before it. Where it is meant to take these packets away, ignore it",
        _rules_behind,
    ),
    Check(
        "nfmark-shared",
        "no counter of `rules: managed`, which go by policy; but tags may change what others route, shape or "
        "decrypt by. With `rules: manual`: groups whose rules match on the nfmark",
        "give ipsecmon bits of its own (nfmark: mask: in its config), or write the other rule with a mask; "
        "`nfmark: {use: off}` tags nothing",
        _nfmark_shared,
    ),
    Check(
        "log-threshold",
        "nflog_octets and nflog_packets: each packet is a message of its own, which loses copies at high "
        "rates (lost_packets says how many). Totals stay right",
        "give the rule --nflog-threshold 64 or more (nft: queue-threshold)",
        _log_threshold,
    ),
)
