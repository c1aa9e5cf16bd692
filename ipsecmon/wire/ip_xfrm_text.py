"""What `ip -s xfrm state list nokeys` and `ip -s xfrm monitor` print (iproute2's ipxfrm.c, 5.x to 7.x).

Gives the same values as wire/xfrm.py does from netlink. Times are printed in the zone of the process: run
it with TZ=UTC0. A record begins in the first column and ends with its statistics, an expiry with `hard`;
lines that are not known are passed over, as newer versions add some. `ip xfrm monitor` prints keys even
with `nokeys`: of the lines that may hold one, no more than the first word is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import SaEnd, SaEvent, SaFlush, SaNews, SaSoftExpiry, SecurityAssociation
from ipsecmon.wire.ip_xfrm_lines import ADDRESS, PROTOCOLS, read_line

__all__ = ["decode_states", "pull_events"]

_BEGINS = re.compile(r"^(?=\S)", re.MULTILINE)
_HEAD = re.compile(
    r"(?:\[nsid [^\]\n]{1,20}\])?(Deleted |Updated |Expired |)"
    rf"src {ADDRESS} dst {ADDRESS}",
    re.ASCII,
)
_FLUSH = re.compile(r"(?:\[nsid [^\]\n]{1,20}\])?Flushed state proto ([a-z0-9-]{1,12})", re.ASCII)
_NEEDED = frozenset(("protocol", "replay_window", "lifetime", "octets", "added_s", "late_packets"))
_OPTIONAL = {"selector": None}


class _Block(NamedTuple):
    """A record's lines, and where it begins."""

    head: str
    lines: list[str]
    start: int
    end: int


def decode_states(text: str) -> list[SecurityAssociation]:
    """A whole list. Raises DecodeError."""
    found = []
    for block in _blocks(text):
        what, fields = _read(block)
        if what:
            raise DecodeError("an event in a list of SAs", block.start)
        found.append(_sa(fields, block.start))
    return found


def pull_events(text: str) -> tuple[list[SaEvent], int]:
    """The events whose records are whole, and how many characters they take. Raises DecodeError.

    Of other records, such as those of policies, and of broken ones that another follows, DecodeError tells.
    """
    events: list[SaEvent] = []
    pulled = 0
    for block in _blocks(text[: text.rfind("\n") + 1]):
        flush = _FLUSH.fullmatch(block.head)
        if flush is not None:
            events.append(SaFlush(_protocol(flush[1], block.start)))
        else:
            what, fields = _read(block)
            if not _is_whole(what, fields) and block.end == text.rfind("\n") + 1:
                break
            events.append(_event(what, fields, block.start))
        pulled = block.end
    return events, pulled


def _blocks(text: str) -> Iterator[_Block]:
    if text and not text.endswith("\n"):
        raise DecodeError("line cut short", len(text))
    starts = [found.start() for found in _BEGINS.finditer(text)]
    if text and (not starts or starts[0] != 0):
        raise DecodeError("text before the first record", 0)
    for start, end in zip(starts, [*starts[1:], len(text)]):
        head, *lines = text[start:end].split("\n")
        yield _Block(head.strip(), lines, start, end)


def _read(block: _Block) -> tuple[str, dict[str, Any]]:
    """What happened, and the fields of the SA."""
    head = _HEAD.fullmatch(block.head)
    if head is None:
        raise DecodeError("not the beginning of an SA", block.start)
    fields: dict[str, Any] = {
        "source": head[2],
        "destination": head[3],
        "family": 10 if ":" in head[3] else 2,
    }
    offset = block.start + len(block.head)
    for line in block.lines:
        if not read_line(line.strip(), fields):
            raise DecodeError("line not understood", offset)
        offset += len(line) + 1
    return head[1].strip(), fields


def _is_whole(what: str, fields: dict[str, Any]) -> bool:
    return fields.keys() >= _NEEDED and (what != "Expired" or "_hard" in fields)


def _sa(fields: dict[str, Any], start: int) -> SecurityAssociation:
    if not fields.keys() >= _NEEDED:
        raise DecodeError("SA without its counters: ip needs -s", start)
    given = {name: value for name, value in fields.items() if not name.startswith("_")}
    return SecurityAssociation(**{**_OPTIONAL, **given})


def _event(what: str, fields: dict[str, Any], start: int) -> SaEvent:
    sa = _sa(fields, start)
    if what == "Deleted":
        return SaEnd(sa, has_expired=False)
    if what == "Expired":
        if "_hard" not in fields:
            raise DecodeError("expiry that is neither hard nor soft", start)
        return SaEnd(sa, has_expired=True) if fields["_hard"] else SaSoftExpiry(sa)
    return SaNews(sa, what == "Updated")


def _protocol(name: str, start: int) -> int:
    if name not in PROTOCOLS and not re.fullmatch("[0-9]{1,3}", name):
        raise DecodeError("unknown protocol", start)
    return PROTOCOLS.get(name) or int(name)
