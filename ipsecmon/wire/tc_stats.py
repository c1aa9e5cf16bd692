"""What a qdisc or class has counted (linux/gen_stats.h, linux/pkt_sched.h): TCA_STATS2.

The kernel counts octets in 64 bit, packets in 32 bit or, where these do not suffice, in 64; the rest in 32.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import Octets, pull_attributes

__all__ = ["EXTRAS", "TcStats", "read_stats"]

_BASIC, _QUEUE, _APP, _PACKETS64 = 1, 3, 4, 8
_BASIC_FORM, _QUEUE_FORM, _U32, _U64 = (struct.Struct(form) for form in ("=QI", "=IIIII", "=I", "=Q"))
_FQ_CODEL = struct.Struct("=IIIIIIIIII")  # struct tc_fq_codel_xstats of a qdisc
_FQ_CODEL_SHORTEST = struct.Struct("=IIIIIII")  # before ce_mark, Linux 4.2
_HTB = struct.Struct("=IIIii")  # struct tc_htb_xstats
_CAKE_TINS, _CAKE_TIN_MARKS = 10, 8

EXTRAS = ("ecn_marks", "new_flows", "memory_drops", "lends", "borrows")  # of some kinds only


class TcStats(NamedTuple):
    """Cumulative, but backlog_*: what waits now. extras: of EXTRAS, those that its kind has."""

    octets: int
    packets: int
    drops: int
    overlimits: int
    requeues: int
    backlog_octets: int
    backlog_packets: int
    extras: Mapping[str, int]


def read_stats(buffer: Octets, kind: str, where: tuple[int, int]) -> TcStats:
    """where: the value of TCA_STATS2. Raises DecodeError."""
    found = {number: (start, end) for number, start, end in pull_attributes(buffer, *where)}
    octets, packets = _pull(_BASIC_FORM, buffer, found.get(_BASIC), (0, 0))
    (packets,) = _pull(_U64, buffer, found.get(_PACKETS64), (packets,))
    waiting, backlog, drops, requeues, overlimits = _pull(
        _QUEUE_FORM, buffer, found.get(_QUEUE), (0, 0, 0, 0, 0)
    )
    extras = _EXTRAS[kind](buffer, *found[_APP]) if _APP in found and kind in _EXTRAS else {}
    return TcStats(octets, packets, drops, overlimits, requeues, backlog, waiting, extras)


def _pull(
    form: struct.Struct, buffer: Octets, where: tuple[int, int] | None, otherwise: tuple[int, ...]
) -> tuple[int, ...]:
    """The kernel may add octets behind what is known, and pads."""
    if where is None:
        return otherwise
    if where[1] - where[0] < form.size:
        raise DecodeError("statistics cut short", where[0])
    return form.unpack_from(buffer, where[0])


def _fq_codel(buffer: Octets, start: int, end: int) -> dict[str, int]:
    """Nothing of a flow, which is dumped as a class."""
    numbers = _pull(_FQ_CODEL_SHORTEST, buffer, (start, end), ())
    if numbers[0] != 0:  # TCA_FQ_CODEL_XSTATS_QDISC
        return {}
    found = {"ecn_marks": numbers[3], "new_flows": numbers[4]}
    if end - start >= _FQ_CODEL.size:
        found["memory_drops"] = _FQ_CODEL.unpack_from(buffer, start)[9]
    return found


def _htb(buffer: Octets, start: int, end: int) -> dict[str, int]:
    lends, borrows, *_ = _pull(_HTB, buffer, (start, end), ())
    return {"lends": lends, "borrows": borrows}


def _cake(buffer: Octets, start: int, end: int) -> dict[str, int]:
    """Nothing of a flow. Marks of all tins together."""
    found = {number: where for number, *where in pull_attributes(buffer, start, end)}
    if _CAKE_TINS not in found:
        return {}
    marks = 0
    for _, first, past in pull_attributes(buffer, *found[_CAKE_TINS]):
        tin = {number: (one, other) for number, one, other in pull_attributes(buffer, first, past)}
        marks += _pull(_U32, buffer, tin.get(_CAKE_TIN_MARKS), (0,))[0]
    return {"ecn_marks": marks}


_EXTRAS: Mapping[str, Callable[[Octets, int, int], dict[str, int]]] = {
    "fq_codel": _fq_codel,
    "htb": _htb,
    "cake": _cake,
}
