"""What happened in tunnels, as points; and what happened to SAs, as events that a dashboard can write beside.

    measurement  tags                                          fields
    tunnel       router, tunnel, peer, direction, observed_at  at `inner` NUMBERS and, where known,
                                                               OPTIONAL_NUMBERS; at `payload` octets
    xfrm_error   router, error                                 packets
    event        router, kind, tunnel, direction               count, text, end_ms

No tag holds an SPI: with every rekey there would be new series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ipsecmon.model import Batch, Direction, ObservationPoint, TunnelIncrement
from ipsecmon.sinks.point import FieldValue, SeriesPoint

__all__ = ["EVENT_KINDS", "NUMBERS", "OPTIONAL_NUMBERS", "points_of_tunnels"]

NUMBERS = (
    "octets",
    "packets",
    "derived_octets",
    "bridged_octets",
    "bridged_packets",
    "error_bound_octets",
    "error_bound_packets",
    "unseen_ends",
    "unbounded_ends",
    "rekeys",
    "sas",
    "late_packets",
    "replayed_packets",
    "integrity_failures",
    "sas_without_anti_replay",
)
OPTIONAL_NUMBERS = ("path_loss_packets", "path_open_packets", "unused_s", "sa_age_s")
_NS = 10**9
_MS_NS = 10**6


class _Words(NamedTuple):
    """one, many: what a count of it is called."""

    one: str
    many: str


_KINDS: Mapping[str, _Words] = {
    "sa-added": _Words("SA added", "SAs added"),
    "rekey": _Words("SA replaced by a new one", "SAs replaced by new ones"),
    "sa-ended": _Words("SA ended", "SAs ended"),
    "sa-end-unseen": _Words("SA ended without a last reading", "SAs ended without a last reading"),
}
_OWN_KINDS: Mapping[tuple[str, str], tuple[str, _Words]] = {
    ("xfrm", "flushes"): ("sa-flush", _Words("time all SAs were flushed", "times all SAs were flushed")),
    ("xfrm", "missed-events"): (
        "sa-events-missed",
        _Words("time events of SAs were missed", "times events of SAs were missed"),
    ),
}
EVENT_KINDS = (*_KINDS, *(kind for kind, _ in _OWN_KINDS.values()))


def points_of_tunnels(batch: Batch) -> Iterator[SeriesPoint]:
    """Of a batch's tunnels, XFRM errors and events, in a stable order."""
    for one in batch.tunnels:
        yield from _tunnel_points(batch, one)
    for error, packets in batch.xfrm_errors:
        tags = {"router": batch.router, "error": error}
        yield SeriesPoint("xfrm_error", tags, {"packets": packets}, batch.start_ns)
    yield from _events(batch)


def _tunnel_points(batch: Batch, one: TunnelIncrement) -> Iterator[SeriesPoint]:
    tags = {
        "router": batch.router,
        "tunnel": one.key.tunnel,
        "peer": one.key.peer,
        "direction": one.key.direction.value,
    }
    inner = {**tags, "observed_at": ObservationPoint.INNER.value}
    yield SeriesPoint("tunnel", inner, _fields(one, batch.end_ns // _NS), batch.start_ns)
    if one.payload_octets:
        payload = {**tags, "observed_at": ObservationPoint.PAYLOAD.value}
        yield SeriesPoint("tunnel", payload, {"octets": one.payload_octets}, batch.start_ns)


def _fields(one: TunnelIncrement, end_s: int) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {name: getattr(one, name) for name in NUMBERS}
    if _tells_path_loss(one):
        fields["path_loss_packets"] = one.lost_packets
        fields["path_open_packets"] = one.open_packets
    if one.last_used_s is not None:
        fields["unused_s"] = max(0, end_s - one.last_used_s)
    if one.added_s is not None:
        fields["sa_age_s"] = max(0, end_s - one.added_s)
    return fields


def _tells_path_loss(one: TunnelIncrement) -> bool:
    """Only the receiver knows, and only with anti-replay; what is known of SAs that ended is told too."""
    if one.key.direction is Direction.OUT:
        return False
    return one.sas > one.sas_without_anti_replay or one.lost_packets > 0


def _events(batch: Batch) -> Iterator[SeriesPoint]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for one in batch.tunnels:
        for kind, count in _counts(one).items():
            counts[kind, one.key.tunnel, one.key.direction.value] += count
    for (kind, tunnel, direction), count in counts.items():
        if count > 0:
            text = f"{tunnel} {direction}: {_worded(_KINDS[kind], count)}"
            yield _event(batch, {"kind": kind, "tunnel": tunnel, "direction": direction}, count, text)
    for own in batch.self_measurements:
        if (own.component, own.kind) in _OWN_KINDS and own.value > 0:
            kind, words = _OWN_KINDS[own.component, own.kind]
            yield _event(batch, {"kind": kind}, own.value, _worded(words, own.value))


def _counts(one: TunnelIncrement) -> dict[str, int]:
    return {
        "sa-added": one.births - one.rekeys,
        "rekey": one.rekeys,
        "sa-ended": max(0, one.ends - one.unseen_ends),  # an SA added again may have ended before, unseen
        "sa-end-unseen": one.unseen_ends,
    }


def _event(batch: Batch, tags: Mapping[str, str], count: int, text: str) -> SeriesPoint:
    fields: dict[str, FieldValue] = {
        "count": count,
        "text": " ".join(text.splitlines()),
        "end_ms": batch.end_ns // _MS_NS,
    }
    return SeriesPoint("event", {"router": batch.router, **tags}, fields, batch.start_ns)


def _worded(words: _Words, count: int) -> str:
    return f"{count} {words.one if count == 1 else words.many}"
