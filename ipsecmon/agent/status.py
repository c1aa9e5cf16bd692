"""How the running agent is, as the control socket's `status` tells it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Optional

from ipsecmon.agent.marks import describe_event
from ipsecmon.agent.wiring import Outlet, Wired
from ipsecmon.errors import StoreError
from ipsecmon.model import Batch, Pair, Reconciliation
from ipsecmon.store import events

__all__ = ["describe"]

_RECENT, _RECENT_NS = 5, 7 * 86400 * 10**9


def describe(wired: Wired, nfmarks_refused: Sequence[str], last_closed: Optional[Batch]) -> dict[str, Any]:
    """JSON values only."""
    return {
        "router": wired.router,
        "config_file": str(wired.file) if wired.file else None,
        "interval_s": wired.interval_s,
        "last_interval_end_ns": last_closed.end_ns if last_closed else None,
        "interfaces_gone": list(wired.interfaces.gone()),
        "rules_stand": wired.helper.rules_stand(),
        "nfmarks_refused": list(nfmarks_refused),
        "dropped_datagrams": wired.copies.dropped_datagrams(),
        "counts": wired.counts.totals(),
        "lines": _lines(last_closed.reconciliations if last_closed else ()),
        "xfrm": wired.tunnels.describe(),
        "layers": wired.layers.describe(),
        "store": _store(wired),
        "events": _events(wired),
        "sinks": [_sink(wired, outlet) for outlet in wired.outlets],
    }


def _lines(found: Iterable[Reconciliation]) -> list[dict[str, Any]]:
    """Whether parts and interface agreed in the last interval, where anything passed."""
    return [
        {
            "name": one.key.name,
            "direction": one.key.direction.value,
            "word": one.word.value,
            "reason": one.reason.value if one.reason else None,
            "unexplained_octets": one.unexplained_octets,
        }
        for one in found
        if one.pair is Pair.NIC_PARTS
    ]


def _events(wired: Wired) -> list[dict[str, Any]]:
    """The newest few of the last week."""
    now_ns = wired.clock.now().wall_ns
    try:
        found = events(wired.folder, now_ns - _RECENT_NS, now_ns, _RECENT)
    except StoreError:
        return []
    return [describe_event(one) for one in found]


def _store(wired: Wired) -> dict[str, Any]:
    try:
        return asdict(wired.store.condition())
    except StoreError as error:
        return {"refusal": str(error)}


def _backlog(wired: Wired, sink: str) -> dict[str, Optional[int]]:
    """None: not known, and of the oldest also that there is none."""
    batches = oldest_ns = None
    with contextlib.suppress(StoreError):
        backlog = wired.store.backlog(sink)
        batches, oldest_ns = backlog.batches, backlog.oldest_start_ns
    return {"backlog_batches": batches, "backlog_oldest_ns": oldest_ns}


def _dropped(wired: Wired, sink: str) -> Optional[int]:
    try:
        return wired.store.spool_dropped().get(sink, 0)
    except StoreError:
        return None


def _sink(wired: Wired, outlet: Outlet) -> dict[str, Any]:
    state = outlet.state()
    return {
        "name": outlet.name,
        "healthy": state.healthy,
        "last_error": state.last_error,
        "sent_batches": state.sent_batches,
        "rejected_points": state.rejected_points,
        "retries": state.retries,
        **_backlog(wired, outlet.name),
        "dropped_batches": _dropped(wired, outlet.name),
    }
