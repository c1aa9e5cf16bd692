"""How the running agent is, as the control socket's `status` tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from ipsecmon.agent.wiring import Outlet, Wired
from ipsecmon.model import Batch

__all__ = ["describe"]


def describe(wired: Wired, nfmarks_refused: Sequence[str], last_closed: Optional[Batch]) -> dict[str, Any]:
    """JSON values only."""
    return {
        "router": wired.router,
        "config_file": str(wired.file) if wired.file else None,
        "interval_s": wired.interval_s,
        "last_interval_end_ns": last_closed.end_ns if last_closed else None,
        "rules_stand": wired.helper.rules_stand(),
        "nfmarks_refused": list(nfmarks_refused),
        "dropped_datagrams": wired.copies.dropped_datagrams(),
        "counts": wired.counts.totals(),
        "sinks": [_sink(wired, outlet) for outlet in wired.outlets],
    }


def _sink(wired: Wired, outlet: Outlet) -> dict[str, Any]:
    state = outlet.state()
    return {
        "name": outlet.name,
        "healthy": state.healthy,
        "last_error": state.last_error,
        "sent_batches": state.sent_batches,
        "rejected_points": state.rejected_points,
        "backlog_batches": wired.store.backlog(outlet.name).batches,
    }
