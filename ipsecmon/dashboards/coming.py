"""Series that dashboards ask for and docs/series.md does not have yet, and kinds of events.

Panels of these say that nothing was counted until they are written. What docs/series.md has goes to
series.py: a test finds what stands here and there.
"""

from __future__ import annotations

from collections.abc import Mapping

from ipsecmon.dashboards.series import Series, series

__all__ = ["CHANGE_KINDS", "COMING"]

COMING: Mapping[str, Series] = {
    "qdisc": series(
        "router interface kind handle parent",
        "octets packets drops overlimits backlog_octets backlog_packets requeues",
    ),
}

CHANGE_KINDS = ("qdisc-changed", "rules-changed", "mark")
"""Kinds of `event` that a comparison of before and after starts from."""
