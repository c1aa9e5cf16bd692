"""Which NFLOG group each counter has, kept in the store's folder: `groups.json`.

A reload leaves each counter its group, so that the groups no longer follow from the config alone. Whoever
makes the plan of a running or restarted agent asks here; without the file, groups are handed out anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from ipsecmon.agent.plan import build_plan
from ipsecmon.config import Config
from ipsecmon.errors import ConfigError
from ipsecmon.model import CounterKey, Direction, ObservationPoint
from ipsecmon.ruleset.model import Plan

__all__ = ["load_groups", "plan_as_before", "save_groups"]

_FILE = "groups.json"
_MAX_OCTETS = 16 << 20
_logger = logging.getLogger(__name__)


def plan_as_before(
    config: Config, resolve: Callable[[str], tuple[str, ...]], table: str = "ipsecmon"
) -> Plan:
    """The plan with the groups of the last run. Raises ConfigError as build_plan()."""
    kept = load_groups(Path(config.store.path))
    if kept:
        try:
            return build_plan(config, resolve, table, kept)
        except ConfigError:
            pass  # what the file says does not fit any more; or the config is wrong, which comes up again
    return build_plan(config, resolve, table)


def load_groups(folder: Path) -> Mapping[CounterKey, int]:
    """Nothing where there is no such file, or none that can be read."""
    try:
        with (folder / _FILE).open("rb") as file:
            rows = json.loads(file.read(_MAX_OCTETS))
        return {
            CounterKey(str(name), Direction(direction), ObservationPoint(observed_at)): int(group)
            for name, direction, observed_at, group in rows
        }
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def save_groups(folder: Path, plan: Plan) -> None:
    """A file that cannot be written is said, and costs no count."""
    rows = [[*tap.key, tap.group] for tap in plan.taps()]
    unfinished = folder / f"{_FILE}.new"
    try:
        unfinished.write_text(json.dumps(rows))
        unfinished.chmod(0o640)
        unfinished.replace(folder / _FILE)
    except OSError as error:
        _logger.warning("NFLOG groups are not remembered error=%s", error)
