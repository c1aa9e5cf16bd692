"""Keeps the file within its size: what goes when there is no room, in which order.

    0. batches that were kept to be sent again, oldest first
    1. batches in the spool, oldest first, while the spool takes more than its half
    2. rows of history, oldest first: the batches' own, then minutes, then quarters of an hour, each
       down to KEEP_SPANS, and of parts what baselines are made of, and hours; days are never touched,
       so no sum over days ever changes
    3. batches in the spool, oldest first, however few there are

What is counted is pages in use, so what was deleted is room at once. A commit deletes no more than
a bounded number of rows; a limit that was made much smaller is reached over many commits.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Callable

from ipsecmon.store import baselines, history, hours, kept, spool

__all__ = ["DEFAULT_MAX_OCTETS", "KEEP_SPANS", "Made", "make_room", "octets_in_use", "shrink"]

DEFAULT_MAX_OCTETS = 2 * 10**9
KEEP_SPANS = {0: 360, 60: 1440, 900: 672}  # at 10 s: an hour; a day; a week
_SPOOL_SHARE = 2  # one half
_STEP_SPANS = 8
_STEP_BATCHES = 10
_STEP_KEPT = 50
_MAX_CHANGES = 20_000  # rows deleted by one commit, about: 0.1 s on a small router
_SHRINK_PAGES = 2_000


@dataclass
class Made:
    """What had to go. full: everything that may go is gone, and it is too much all the same."""

    dropped: dict[str, int] = field(default_factory=dict)
    trimmed_spans: int = 0
    full: bool = False


def octets_in_use(connection: sqlite3.Connection) -> int:
    """Of the file's pages, those that hold something."""
    return (_number(connection, "page_count") - _number(connection, "freelist_count")) * _page(connection)


def make_room(connection: sqlite3.Connection, limit: int) -> Made:
    """Inside a transaction."""
    made = Made()
    before = connection.total_changes
    while octets_in_use(connection) > limit and connection.total_changes - before < _MAX_CHANGES:
        if not any(step(connection, limit, made) for step in _STEPS):
            made.full = True
            break
    return made


def shrink(connection: sqlite3.Connection, limit: int) -> None:
    """Outside a transaction: gives free pages back to the file system while the file is beyond the limit."""
    excess = _number(connection, "page_count") - limit // _page(connection)
    if excess > 0 and _number(connection, "freelist_count"):
        # executescript steps through all of it, execute would free one page
        connection.executescript(f"PRAGMA incremental_vacuum({min(excess, _SHRINK_PAGES)})")


def _forget_kept(connection: sqlite3.Connection, limit: int, made: Made) -> bool:
    forgotten = kept.make_room(connection, _STEP_KEPT)
    made.trimmed_spans += forgotten
    return forgotten > 0


def _halve_spool(connection: sqlite3.Connection, limit: int, made: Made) -> bool:
    return spool.octets(connection) > limit // _SPOOL_SHARE and _drop(connection, limit, made)


def _trim_history(connection: sqlite3.Connection, limit: int, made: Made) -> bool:
    for level_s, keep in KEEP_SPANS.items():
        trimmed = history.trim(connection, level_s, _STEP_SPANS, keep)
        if trimmed:
            made.trimmed_spans += trimmed
            return True
    trimmed = baselines.trim(connection) or hours.trim(connection)
    made.trimmed_spans += trimmed
    return trimmed > 0


def _drop(connection: sqlite3.Connection, limit: int, made: Made) -> bool:
    dropped = spool.drop_oldest(connection, _STEP_BATCHES)
    for sink, batches in dropped.items():
        made.dropped[sink] = made.dropped.get(sink, 0) + batches
    return bool(dropped)


_STEPS: tuple[Callable[[sqlite3.Connection, int, Made], bool], ...] = (
    _forget_kept,
    _halve_spool,
    _trim_history,
    _drop,
)


def _page(connection: sqlite3.Connection) -> int:
    return _number(connection, "page_size")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)
