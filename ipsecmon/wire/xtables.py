"""Rules of legacy iptables that log to an NFLOG group (linux/netfilter/x_tables.h, ip_tables.h).

In: what IPT_SO_GET_ENTRIES answers for one table: entries end to end, each with its counters. Out: an
XtRule for each whose target is NFLOG. Standard library only; host byte order, 64-bit layout.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

from ipsecmon.errors import DecodeError
from ipsecmon.wire.nftables import Octets

__all__ = ["ENTRIES_START", "INFO_SIZE", "XtRule", "decode_log_entries", "decode_size"]

INFO_SIZE = 84  # ipt_getinfo: name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size
ENTRIES_START = 40  # ipt_get_entries: name[32], size, padding

_TARGET_HEAD = struct.Struct("=H29sB")  # xt_entry_target: target_size, name, revision
_NFLOG_INFO = struct.Struct("=IH")  # xt_nflog_info: len, group, …
_COUNTERS = struct.Struct("=QQ")  # xt_counters: packets, octets
_OFFSETS = struct.Struct("=HH")  # target_offset, next_offset


class _Layout(NamedTuple):
    """Of an entry: where the offsets, the counters and the matches begin."""

    offsets: int
    counters: int
    matches: int


_LAYOUTS = {4: _Layout(88, 96, 112), 6: _Layout(140, 152, 168)}  # ipt_entry, ip6t_entry


class XtRule(NamedTuple):
    """text: a digest of chain, matches and target; equal for equal rules, whatever they have counted."""

    group: int
    text: str
    octets: int
    packets: int


def decode_size(info: Octets) -> int:
    """Octets of all entries, from what IPT_SO_GET_INFO answers. Raises DecodeError."""
    if len(info) < INFO_SIZE:
        raise DecodeError("table information cut short", len(info))
    return int(struct.unpack_from("=I", info, 80)[0])


def decode_log_entries(answer: Octets, version: int) -> list[XtRule]:
    """version: 4 or 6. Raises DecodeError."""
    if len(answer) < ENTRIES_START:
        raise DecodeError("answer cut short", len(answer))
    layout = _LAYOUTS[version]
    found: list[XtRule] = []
    chain = b""
    start = ENTRIES_START
    while start < len(answer):
        target, end = _offsets(answer, start, layout)
        size, name, _ = _TARGET_HEAD.unpack_from(answer, target)
        if size < _TARGET_HEAD.size or target + size > end:
            raise DecodeError("target outside its entry", target)
        kind, _, _ = name.partition(b"\0")
        info = target + _TARGET_HEAD.size
        if kind == b"ERROR":  # the head of a user's chain: its name
            chain, _, _ = bytes(answer[info:end]).partition(b"\0")
        elif kind == b"NFLOG":
            found.append(_rule(answer, (start, target, end), layout, chain))
        start = end
    return found


def _offsets(answer: Octets, start: int, layout: _Layout) -> tuple[int, int]:
    """Where an entry's target begins, and where the entry ends."""
    if len(answer) - start < layout.matches:
        raise DecodeError("entry cut short", start)
    target, end = _OFFSETS.unpack_from(answer, start + layout.offsets)
    if not layout.matches <= target <= end - _TARGET_HEAD.size or start + end > len(answer):
        raise DecodeError("entry outside the table", start)
    return start + target, start + end


def _rule(answer: Octets, entry: tuple[int, int, int], layout: _Layout, chain: bytes) -> XtRule:
    start, target, end = entry
    info = target + _TARGET_HEAD.size
    if end - info < _NFLOG_INFO.size:
        raise DecodeError("NFLOG target without its group", target)
    packets, octets = _COUNTERS.unpack_from(answer, start + layout.counters)
    digest = hashlib.sha256(chain + b"\0")
    digest.update(answer[start : start + layout.offsets - 4])  # less nfcache, which the kernel writes
    digest.update(answer[start + layout.matches : end])
    return XtRule(_NFLOG_INFO.unpack_from(answer, info)[1], digest.hexdigest()[:16], octets, packets)
