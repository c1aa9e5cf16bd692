"""The config of a run without a file: the default route's interface is the line, nothing is left behind."""

from __future__ import annotations

import json
from pathlib import Path

from ipsecmon.config import Config, parse
from ipsecmon.sources.interfaces import default_route_interface

__all__ = ["TABLE", "standalone_config"]

TABLE = "ipsecmon_live"  # beside an installed agent's own table, and on other groups
_COUNTERS = [
    {"name": "web", "match": {"proto": ["tcp", "udp"], "port": [80, 443]}},
    {"name": "dns", "match": {"port": [53, 853]}},
    {"name": "ssh", "match": {"proto": "tcp", "port": 22}},
]


def standalone_config(folder: Path) -> Config:
    """folder: for the store, of this run only. Raises SourceError where there is no default route."""
    settings = {
        "interval": "1s",
        "line": {"name": "line", "interface": default_route_interface()},
        "counters": _COUNTERS,
        "store": {"path": str(folder), "retention": "1d"},
        "nflog": {"groups": "6000-6199"},
    }
    return parse(json.dumps(settings), "built-in")
