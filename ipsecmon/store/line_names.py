"""Names that lines ever had: in history a line that was renamed looks like any other counter."""

from __future__ import annotations

import json
from pathlib import Path

from ipsecmon.store.tunnels import opened_reader

__all__ = ["LINE_NAMES", "line_names"]

LINE_NAMES = "lines.names"  # in the table state: a JSON list


def line_names(folder: Path) -> frozenset[str]:
    """Those that agents have remembered. Raises StoreError."""
    with opened_reader(folder) as (connection, _):
        found = connection.execute("SELECT value FROM state WHERE key = ?", (LINE_NAMES,)).fetchone()
    return frozenset(json.loads(found[0])) if found else frozenset()
