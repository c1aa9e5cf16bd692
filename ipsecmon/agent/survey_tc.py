"""What tc(8) prints -> the rate that an interface is shaped to.

In: the stdout of `tc qdisc show`, `tc class show` and `tc filter show … ingress` for one interface.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ipsecmon.units import parse_rate

__all__ = ["Shaper", "read_redirect", "read_shaper"]

_ROOT = re.compile(r"^qdisc (\S+) \S+ root\b(.*)$", re.MULTILINE)
_ROOT_CLASS = re.compile(r"^class htb \S+ root\b.*?\brate (\S+)", re.MULTILINE)
_RATE_WORD = {"tbf": re.compile(r"\brate (\S+)"), "cake": re.compile(r"\bbandwidth (\S+)")}
_REDIRECT = re.compile(r"mirred \(Egress Redirect to device (\S+?)\)")


@dataclass(frozen=True)
class Shaper:
    """The root queueing discipline's kind and its rate."""

    kind: str
    bits_per_s: int


def read_shaper(qdiscs: str, classes: str) -> Optional[Shaper]:
    """None where nothing bounds the whole interface, or several root classes share it."""
    root = _ROOT.search(qdiscs)
    if root is None:
        return None
    kind, rest = root.groups()
    if kind == "htb":  # a root class has nobody to borrow from: its rate counts, not its ceil
        rates = _ROOT_CLASS.findall(classes)
    else:
        rates = _RATE_WORD[kind].findall(rest) if kind in _RATE_WORD else []
    bits_per_s = _rate(rates[0]) if len(rates) == 1 else 0
    return Shaper(kind, bits_per_s) if bits_per_s else None


def read_redirect(filters: str) -> Optional[str]:
    """The interface (an ifb) that inbound packets are sent through to be shaped."""
    found = _REDIRECT.search(filters)
    return found[1] if found else None


def _rate(text: str) -> int:
    """Bits per second as tc prints them (16Mbit, 1544Kbit); 0 for another word, such as unlimited."""
    try:
        return parse_rate(text.replace("K", "k"))
    except ValueError:
        return 0
