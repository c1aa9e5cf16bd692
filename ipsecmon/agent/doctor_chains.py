"""What becomes of packets in chains of others before they come to rules of ours: pure, over rules as text.

A verdict ends one base chain alone: only rules of the same chain, and of chains that it jumps to, can take a
packet away from ours. What they drop is gone anyway.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Callable, NamedTuple, Optional

from ipsecmon.agent.doctor_facts import Chain

__all__ = ["Hidden", "hidden_behind", "logs_to", "overwritten"]

_DEEP = 8  # jumps; more is a loop or nobody's rule set
_LONG = 20_000  # steps through one base chain
_JUMP = re.compile(r"(?:\b(?:jump|goto)|(?:^| )-[jg]) (\S+)")
_GROUP = re.compile(r"\blog\b.*?\bgroup (\d+)|--nflog-group (\d+)")
_ENDS = re.compile(r"\b(?:accept|queue)\b|(?:^| )-j (?:ACCEPT|NFQUEUE|QUEUE)\b")
_RETURNS = re.compile(r"\breturn\b|(?:^| )-j RETURN\b")
_ACTION = re.compile(r"(?:^| )(?:counter|log|accept|return|queue|jump|goto|-[jg])(?: |$)")
_FACTS = (
    re.compile(r"(?<!! )-([io]) (\S+)"),
    re.compile(r'\b([io])if(?:name)? "([^"]+)"'),
    re.compile(r"(?<!! )-(p) (\S+)"),
    re.compile(r"\bmeta l4(p)roto (\w+)"),
    re.compile(r"\bip (p)rotocol (\w+)"),
    re.compile(r"(?P<p>)\b(tcp|udp) [sd]port"),
)
_ALL_BITS = "0xffffffff"
_SETS_MARK = re.compile(
    rf"--set-xmark (0x[0-9a-f]+)/{_ALL_BITS}|--restore-mark --nfmask {_ALL_BITS}"
    r"|meta mark set (?:(0x[0-9a-f]+)|ct mark(?! [&|]))"
)
_MATCHES_MARK = re.compile(
    r"--mark (?P<a>0x[0-9a-f]+)(?:/(?P<am>0x[0-9a-f]+))?"
    r"|meta mark (?:& |and )(?P<bm>0x[0-9a-f]+) ?==? ?(?P<b>0x[0-9a-f]+)|meta mark (?P<c>0x[0-9a-f]+)"
)


class Hidden(NamedTuple):
    """A rule that ends the chain for some packets, and the first of ours that comes behind it."""

    chain: Chain
    rule: str
    ours: str


class _Step(NamedTuple):
    """One rule on the way through a base chain. conditions: with those of the jumps that led to it."""

    rule: str
    conditions: str
    ends: bool


def logs_to(rule: str) -> Optional[int]:
    """The NFLOG group of a rule."""
    found = _GROUP.search(rule)
    return int(found[1] or found[2]) if found else None


def hidden_behind(chains: Sequence[Chain], is_ours: Callable[[str], bool]) -> Iterator[Hidden]:
    """The first such rule of each base chain. is_ours: whether a rule, or what it jumps to, is."""
    by_table: defaultdict[str, dict[str, Chain]] = defaultdict(dict)
    for chain in chains:
        by_table[chain.table][chain.name] = chain
    for chain in chains:
        if chain.is_base:
            steps = islice(_walked(chain, by_table[chain.table], is_ours), _LONG)
            yield from islice(_hidden(chain, steps, is_ours), 1)


def overwritten(chains: Iterable[Chain], is_ours: Callable[[str], bool]) -> Iterator[tuple[Chain, str]]:
    """Rules that set every bit of the nfmark, to none of the values by which rules of ours match."""
    all_chains = list(chains)
    wanted = [
        mark for chain in all_chains for rule in chain.rules if is_ours(rule) for mark in _matched(rule)
    ]
    for chain in all_chains if wanted else ():
        for rule in chain.rules:
            value = _set_value(rule)
            if value is not None and not any(value & mask == wish for wish, mask in wanted):
                yield chain, rule


def _walked(
    chain: Chain, others: Mapping[str, Chain], is_ours: Callable[[str], bool], led: str = "", deep: int = 0
) -> Iterator[_Step]:
    for rule in chain.rules:
        conditions = f"{led} {_conditions(rule)}".strip()
        ends = bool(_ENDS.search(rule)) or (chain.is_base and bool(_RETURNS.search(rule)))
        yield _Step(rule, conditions, ends)
        goal = _JUMP.search(rule)
        if goal and goal[1] in others and deep < _DEEP and not is_ours(rule):
            yield from _walked(others[goal[1]], others, is_ours, conditions, deep + 1)


def _hidden(chain: Chain, steps: Iterable[_Step], is_ours: Callable[[str], bool]) -> Iterator[Hidden]:
    ends: list[tuple[_Step, dict[str, str]]] = []
    logged = ""  # the conditions of our rule right before: what that has logged may end
    for step in steps:
        if is_ours(step.rule):
            facts = _facts(step)
            for end, its_facts in ends:
                if not _are_disjoint(its_facts, facts):
                    yield Hidden(chain, end.rule, step.rule)
            logged = step.conditions
        elif step.ends and not (logged and step.conditions == logged):
            facts = _facts(step)
            if "lo" not in (facts.get("i"), facts.get("o")):
                ends.append((step, facts))


def _conditions(rule: str) -> str:
    found = _ACTION.search(rule)
    return rule[: found.start()].strip() if found else rule


def _facts(step: _Step) -> dict[str, str]:
    """What a packet must have: i and o, its interfaces; p, its protocol."""
    found: dict[str, str] = {}
    for pattern in _FACTS:
        for one in pattern.finditer(step.conditions):
            found["p" if one.re.groupindex else one[1]] = one[2]
    return found


def _are_disjoint(here: Mapping[str, str], there: Mapping[str, str]) -> bool:
    return any(here[name] != there[name] for name in here.keys() & there.keys())


def _set_value(rule: str) -> Optional[int]:
    """What a rule sets the whole nfmark to; -1: to what nobody here can tell."""
    found = _SETS_MARK.search(rule)
    if found is None:
        return None
    value = found[1] or found[2]
    return int(value, 0) if value else -1


def _matched(rule: str) -> Iterator[tuple[int, int]]:
    """(value, mask) of each comparison with the nfmark."""
    for found in _MATCHES_MARK.finditer(rule):
        value = found["a"] or found["b"] or found["c"]
        yield int(value, 0), int(found["am"] or found["bm"] or _ALL_BITS, 0)
