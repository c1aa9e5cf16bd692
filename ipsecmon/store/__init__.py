"""The agent's memory on disk: history in resolutions, the spool of each sink, saved readings, state.

One SQLite file in one folder. Store belongs to the agent's loop, one Spool to each sink's thread,
report() to whoever only reads; they meet in the file and nowhere else. What is promised: a batch
is in all four or in none of them, whenever the power goes; no octet is in a report twice.
"""

from __future__ import annotations

from ipsecmon.store.history import RESOLUTIONS_S
from ipsecmon.store.saved import SavedReading
from ipsecmon.store.spool import MAX_SPOOL_BATCHES, Backlog, Spool
from ipsecmon.store.store import Opened, Store
from ipsecmon.store.summary import Report, ReportRow, report

__all__ = [
    "MAX_SPOOL_BATCHES",
    "RESOLUTIONS_S",
    "Backlog",
    "Opened",
    "Report",
    "ReportRow",
    "SavedReading",
    "Spool",
    "Store",
    "report",
]
