"""The agent's memory on disk: history in resolutions, the spool of each sink, saved readings, state.

One SQLite file in one folder. Store belongs to the agent's loop, one Spool to each sink's thread,
report() to whoever only reads; they meet in the file and nowhere else. What is promised: a batch
is in all four or in none of them, whenever the power goes; no octet is in a report twice.
"""

from __future__ import annotations

from ipsecmon.store.baselines import BUCKET_S, SHIFTS_S
from ipsecmon.store.clock_steps import ClockStep
from ipsecmon.store.event_log import events
from ipsecmon.store.history import RESOLUTIONS_S
from ipsecmon.store.hours import HOUR_NS, hour_batches
from ipsecmon.store.kept import first_kept_ns, kept_batches
from ipsecmon.store.layers import LayerRow, layer_rows
from ipsecmon.store.line_names import LINE_NAMES, line_names
from ipsecmon.store.notices import StoreState
from ipsecmon.store.room import DEFAULT_MAX_OCTETS
from ipsecmon.store.saved import SavedReading
from ipsecmon.store.spool import MAX_SPOOL_BATCHES, Backlog, Spool
from ipsecmon.store.store import Opened, Store
from ipsecmon.store.summary import Report, ReportRow, report
from ipsecmon.store.timelines import Happened, Span, Timeline, timelines
from ipsecmon.store.tunnel_rows import ALL_PEERS
from ipsecmon.store.tunnels import TunnelReport, TunnelRow, tunnel_report
from ipsecmon.store.wal import WAL_MAX_OCTETS

__all__ = [
    "ALL_PEERS",
    "BUCKET_S",
    "DEFAULT_MAX_OCTETS",
    "HOUR_NS",
    "LINE_NAMES",
    "MAX_SPOOL_BATCHES",
    "RESOLUTIONS_S",
    "SHIFTS_S",
    "WAL_MAX_OCTETS",
    "Backlog",
    "ClockStep",
    "Happened",
    "LayerRow",
    "Opened",
    "Report",
    "ReportRow",
    "SavedReading",
    "Span",
    "Spool",
    "Store",
    "StoreState",
    "Timeline",
    "TunnelReport",
    "TunnelRow",
    "events",
    "first_kept_ns",
    "hour_batches",
    "kept_batches",
    "layer_rows",
    "line_names",
    "report",
    "timelines",
    "tunnel_report",
]
