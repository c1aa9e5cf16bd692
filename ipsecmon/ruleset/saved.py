"""What `iptables-save -c` and `ip6tables-save -c` print (iptables-save(8)), as values.

In: their text. Out: chains and rules with counters, in order. A line that is neither is skipped: the
programs write comments and warnings between them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Saved", "SavedRule", "parse_saved"]

_CHAIN = re.compile(r":(\S+) (\S+) \[(\d+):(\d+)\]")
_RULE = re.compile(r"\[(\d+):(\d+)\] (-A (\S+).*)")


class SavedRule(NamedTuple):
    """text: the rule as printed, without its counters: `-A PREROUTING -i wan0 -j NFLOG …`."""

    table: str
    chain: str
    text: str
    packets: int
    octets: int


class Saved(NamedTuple):
    """chains: policy of each (table, chain); "-" for a user-defined one."""

    chains: dict[tuple[str, str], str]
    rules: list[SavedRule]


def parse_saved(text: str) -> Saved:
    """Every chain and rule of all tables in the text."""
    saved = Saved({}, [])
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif chain := _CHAIN.fullmatch(line.strip()):
            saved.chains[table, chain.group(1)] = chain.group(2)
        elif rule := _RULE.fullmatch(line.rstrip()):
            packets, octets, words, name = rule.groups()
            saved.rules.append(SavedRule(table, name, words, int(packets), int(octets)))
    return saved
