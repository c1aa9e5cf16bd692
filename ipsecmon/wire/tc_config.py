"""How a qdisc, class or filter is configured: a digest of its options, and words for people.

The kernel mixes counters, times and numbers that it hands out itself into options. These are left out, so
that what is added again in the same way has the same digest. Where the form of a filter is not
known, or options break theirs, only that it is there counts.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Optional

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import Octets, encode_attribute, pull_attributes

__all__ = ["TcConfig", "read_config"]

_DIGEST = 12  # hexadecimal digits
_HTB_PARMS, _HTB_INIT, _HTB_RATE64, _HTB_CEIL64 = 1, 2, 6, 7
_TBF_PARMS, _TBF_RATE64 = 1, 4
_CAKE_RATE64, _CAKE_AUTORATE = 2, 9
_NETEM_FIXED, _NETEM_SEED = 24, 14
_SFQ_FIXED = 48  # struct tc_sfq_qopt_v1 less its counters
_RED_MAX_P = 3
_ACT_KIND, _ACT_OPTIONS = 1, 2
_EGRESS_REDIRECT = 1  # TCA_EGRESS_REDIR
_MIRRED = struct.Struct("=20xiI")  # struct tc_mirred: eaction, ifindex


class TcConfig(NamedTuple):
    """words: what people look for first, such as ('rate', '1544kbit'). redirect: an ifindex, of a filter."""

    digest: str
    words: tuple[tuple[str, str], ...] = ()
    redirect: Optional[int] = None


class _Filter(NamedTuple):
    """action: the attribute with its actions. left_out: handed out or counted by the kernel."""

    action: int
    left_out: tuple[int, ...] = ()


_FILTERS: Mapping[str, _Filter] = {  # linux/pkt_cls.h
    "basic": _Filter(3, (5, 6)),
    "bpf": _Filter(1, (6, 11)),
    "flower": _Filter(3, (22, 86)),
    "fw": _Filter(4),
    "matchall": _Filter(2, (3, 4, 5)),
    "route": _Filter(6),
    "u32": _Filter(7, (2, 9, 10, 11, 12)),
}
_ACTION_TIMES = {"connmark": 2, "csum": 2, "nat": 2, "police": 6}  # attribute of its struct tcf_t; else 1
_ACTION_PARMS = {"connmark": 1, "csum": 1, "nat": 1, "police": 1}  # what begins with struct tc_gen; else 2
_NUMBERS = {"police": (0, 44, 48)}  # index, refcnt, bindcnt: u32 at these offsets
_GEN_NUMBERS = (0, 12, 16)  # of struct tc_gen


def read_config(what: str, kind: str, options: bytes) -> TcConfig:
    """what: qdisc, class or filter. Never raises: no option is a reason not to count."""
    try:
        if what == "filter":
            return _filter(kind, options)
        plain = _PLAIN.get(kind, bytes)(options)
        return TcConfig(_digest(kind, plain), tuple(_WORDS.get(kind, _no_words)(options)))
    except DecodeError:
        return TcConfig(_digest(kind, b""))


def _digest(kind: str, plain: bytes) -> str:
    return hashlib.sha256(kind.encode() + b"\0" + plain).hexdigest()[:_DIGEST]


def _filter(kind: str, options: bytes) -> TcConfig:
    form = _FILTERS.get(kind)
    if form is None:
        return TcConfig(_digest(kind, b""))
    plain, redirect = b"", None
    for number, start, end in pull_attributes(options, 0, len(options)):
        if number in form.left_out:
            continue
        value = options[start:end]
        if number == form.action:
            value, redirect = _actions(value)
        plain += encode_attribute(number, value)
    return TcConfig(_digest(kind, plain), redirect=redirect)


def _actions(options: bytes) -> tuple[bytes, Optional[int]]:
    """As they are configured, and where the first redirect leads to."""
    plain, redirect = b"", None
    for number, start, end in pull_attributes(options, 0, len(options)):
        found = {one: options[first:past] for one, first, past in pull_attributes(options, start, end)}
        kind = found.get(_ACT_KIND, b"").rstrip(b"\0").decode("ascii", "replace")
        inner = found.get(_ACT_OPTIONS, b"")
        plain += encode_attribute(number, kind.encode() + b"\0" + _action(kind, inner))
        if redirect is None and kind == "mirred":
            redirect = _redirect(inner)
    return plain, redirect


def _action(kind: str, options: bytes) -> bytes:
    plain = b""
    for number, start, end in pull_attributes(options, 0, len(options)):
        value = options[start:end]
        if number == _ACTION_TIMES.get(kind, 1):
            continue
        if number == _ACTION_PARMS.get(kind, 2):
            value = _blank(value, _NUMBERS.get(kind, _GEN_NUMBERS))
        plain += encode_attribute(number, value)
    return plain


def _redirect(options: bytes) -> Optional[int]:
    for number, start, end in pull_attributes(options, 0, len(options)):
        if number == _ACTION_PARMS.get("mirred", 2):
            if end - start < _MIRRED.size:
                raise DecodeError("mirred cut short", start)
            action, ifindex = _MIRRED.unpack_from(options, start)
            return int(ifindex) if action == _EGRESS_REDIRECT else None
    return None


def _blank(value: bytes, offsets: tuple[int, ...]) -> bytes:
    """With 0 in place of the u32 at these offsets."""
    for offset in offsets:
        if offset + 4 <= len(value):
            value = value[:offset] + bytes(4) + value[offset + 4 :]
    return value


def _without(*left_out: int) -> Callable[[bytes], bytes]:
    def plain(options: bytes) -> bytes:
        found = pull_attributes(options, 0, len(options))
        return b"".join(
            encode_attribute(number, options[start:end])
            for number, start, end in found
            if number not in left_out
        )

    return plain


def _plain_htb(options: bytes) -> bytes:
    """direct_pkts is a counter; a class has no such part."""
    return b"".join(
        encode_attribute(number, _blank(options[start:end], (16,) if number == _HTB_INIT else ()))
        for number, start, end in pull_attributes(options, 0, len(options))
    )


def _plain_cake(options: bytes) -> bytes:
    """With autorate-ingress the kernel changes the rate itself."""
    found = {number: options[start:end] for number, start, end in pull_attributes(options, 0, len(options))}
    return _without(_CAKE_RATE64)(options) if any(found.get(_CAKE_AUTORATE, b"")) else options


def _plain_netem(options: bytes) -> bytes:
    return options[:_NETEM_FIXED] + _without(_NETEM_SEED)(options[_NETEM_FIXED:])


_PLAIN: Mapping[str, Callable[[bytes], bytes]] = {
    "htb": _plain_htb,
    "cake": _plain_cake,
    "netem": _plain_netem,
    "red": _without(_RED_MAX_P),
    "sfq": lambda options: options[:_SFQ_FIXED],
}


def _no_words(options: bytes) -> Iterator[tuple[str, str]]:
    return iter(())


def _rates(*wanted: tuple[str, int, int, int]) -> Callable[[bytes], Iterator[tuple[str, str]]]:
    """wanted: name, attribute with struct tc_ratespecs, offset of the rate in it, attribute for 64 bit."""

    def words(options: bytes) -> Iterator[tuple[str, str]]:
        found = {number: (start, end) for number, start, end in pull_attributes(options, 0, len(options))}
        for name, small, offset, large in wanted:
            octets = _number(options, found.get(large), 0, 8)
            if octets is None:
                octets = _number(options, found.get(small), offset, 4)
            if octets:
                yield name, _rate(octets * 8)

    return words


_WORDS: Mapping[str, Callable[[bytes], Iterator[tuple[str, str]]]] = {
    "htb": _rates(("rate", _HTB_PARMS, 8, _HTB_RATE64), ("ceil", _HTB_PARMS, 20, _HTB_CEIL64)),
    "tbf": _rates(("rate", _TBF_PARMS, 8, _TBF_RATE64)),
    "cake": _rates(("bandwidth", 0, 0, _CAKE_RATE64)),
}


def _number(options: Octets, where: Optional[tuple[int, int]], offset: int, length: int) -> Optional[int]:
    if where is None or where[0] + offset + length > where[1]:
        return None
    start = where[0] + offset
    (number,) = struct.unpack_from("=Q" if length == 8 else "=I", options, start)
    return int(number)


def _rate(bits_per_s: int) -> str:
    """As tc(8) takes it: '1544kbit'; never rounded."""
    for unit, size in (("Gbit", 10**9), ("Mbit", 10**6), ("kbit", 10**3)):
        if bits_per_s % size == 0:
            return f"{bits_per_s // size}{unit}"
    return f"{bits_per_s}bit"
