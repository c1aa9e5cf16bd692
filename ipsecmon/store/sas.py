"""SAs as last counted, for the next agent: written with each batch, but only what changed.

An SA that is the very object that was written last has not changed: of 10,000 SAs of which 500 carried
packets, 500 rows are written. A row is in two parts: what does not change in an SA's life, as JSON
that is checked when it is read, and its numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from pydantic import TypeAdapter

from ipsecmon.ipsec import SaId, SavedSas, SecurityAssociation
from ipsecmon.store.saved import signed, unsigned

__all__ = ["Loaded", "Written", "load_sas", "save_sas"]

_ADAPTER = TypeAdapter(SecurityAssociation)
_SINCE = "tunnels.since_s"  # in the table state
_COLUMNS = (
    "octets",
    "packets",
    "late_packets",
    "replayed_packets",
    "integrity_failures",
    "used_s",
    "last_used_s",
    "highest",
    "sent",
    "unseen",
)
_INSERT = (
    f"INSERT INTO sa (id, still, is_awaited, {', '.join(_COLUMNS)}) VALUES (?, ?, 0{', ?' * len(_COLUMNS)})"
)
_UPDATE = f"UPDATE sa SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"
_SELECT = f"SELECT CAST(still AS BLOB), is_awaited, {', '.join(_COLUMNS)} FROM sa ORDER BY id"

Numbers = tuple[Optional[int], ...]


class _Row(NamedTuple):
    number: int
    sa: SecurityAssociation


class Written(NamedTuple):
    """What the table holds. rows: by id() of the SA, which the row keeps alive."""

    rows: Mapping[int, _Row]
    awaited: frozenset[SaId]
    next_number: int


class Loaded(NamedTuple):
    """damaged: rows that could not be read; these SAs are as if they had never been seen."""

    saved: SavedSas
    damaged: int


def save_sas(connection: sqlite3.Connection, saved: SavedSas, before: Optional[Written]) -> Written:
    """In a transaction. before: what the last one that went well returned; None: all is written anew."""
    if before is None:
        connection.execute("DELETE FROM sa")
        before = Written({}, frozenset(), 1)
    now = {id(sa): sa for sa in saved.sas}
    rows = dict(before.rows)
    gone = [rows.pop(one) for one in before.rows.keys() - now.keys()]
    fresh = [sa for one, sa in now.items() if one not in rows]
    changes = _changes(fresh, gone, before.next_number)
    rows.update((id(row.sa), row) for row in (*changes.inserts, *changes.updates))
    connection.executemany("DELETE FROM sa WHERE id = ?", [(number,) for number in changes.deletes])
    connection.executemany(_UPDATE, [(*_numbers(row.sa), row.number) for row in changes.updates])
    connection.executemany(
        _INSERT, [(row.number, _encode(row.sa), *_numbers(row.sa)) for row in changes.inserts]
    )
    _save_awaited(connection, rows, saved.awaited, before.awaited)
    _save_since(connection, saved.since_s)
    return Written(rows, saved.awaited, before.next_number + len(changes.inserts))


def load_sas(connection: sqlite3.Connection) -> Loaded:
    found = connection.execute("SELECT value FROM state WHERE key = ?", (_SINCE,)).fetchone()
    if found is None or not found[0].isdecimal():
        return Loaded(SavedSas(), 0)
    sas: list[SecurityAssociation] = []
    awaited: set[SaId] = set()
    damaged = 0
    for row in connection.execute(_SELECT):
        try:
            sas.append(_decode(row))
        except (TypeError, ValueError):
            damaged += 1
            continue
        if row[1]:
            awaited.add(sas[-1].id)
    return Loaded(SavedSas(tuple(sas), int(found[0]), frozenset(awaited)), damaged)


class _Changes(NamedTuple):
    inserts: list[_Row]
    updates: list[_Row]
    deletes: set[int]


def _changes(fresh: Iterable[SecurityAssociation], gone: Iterable[_Row], next_number: int) -> _Changes:
    """What else changed than numbers makes another row."""
    changes = _Changes([], [], {row.number for row in gone})
    before = {row.sa.id: row for row in gone}
    for sa in fresh:
        old = before.get(sa.id)
        if old is not None and old.number in changes.deletes and _still(old.sa) == _still(sa):
            changes.deletes.remove(old.number)
            changes.updates.append(_Row(old.number, sa))
        else:
            changes.inserts.append(_Row(next_number + len(changes.inserts), sa))
    return changes


def _save_awaited(
    connection: sqlite3.Connection,
    rows: Mapping[int, _Row],
    awaited: frozenset[SaId],
    before: frozenset[SaId],
) -> None:
    """A row that is written anew is not awaited yet."""
    if not awaited and not before:
        return
    flags = [(row.sa.id in awaited, row.number) for row in rows.values()]
    connection.executemany("UPDATE sa SET is_awaited = ?1 WHERE id = ?2 AND is_awaited != ?1", flags)


def _save_since(connection: sqlite3.Connection, since_s: Optional[int]) -> None:
    if since_s is None:
        connection.execute("DELETE FROM state WHERE key = ?", (_SINCE,))
    else:
        connection.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (_SINCE, str(since_s)))


def _encode(sa: SecurityAssociation) -> str:
    return _ADAPTER.dump_json(_still(sa)).decode()


def _decode(row: Sequence[Any]) -> SecurityAssociation:
    """Raises TypeError or ValueError."""
    sa = _ADAPTER.validate_json(row[0], strict=True)
    counted = map(_whole, row[2:7])
    used_s, last_used_s = (None if one is None else _whole(one) for one in row[7:9])
    state = sa.anti_replay
    if state is not None:
        highest, sent, unseen = map(_whole, row[9:])
        state = state._replace(highest=highest, sent=sent, unseen=unseen)
    numbers: dict[str, Any] = dict(zip(_COLUMNS, counted))
    return sa._replace(**numbers, used_s=used_s, last_used_s=last_used_s, anti_replay=state)


def _whole(number: object) -> int:
    if type(number) is not int:
        raise TypeError("not an integer")
    return unsigned(number)


def _still(sa: SecurityAssociation) -> SecurityAssociation:
    """Without its numbers."""
    state = sa.anti_replay
    return sa._replace(
        octets=0,
        packets=0,
        late_packets=0,
        replayed_packets=0,
        integrity_failures=0,
        used_s=None,
        last_used_s=None,
        anti_replay=None if state is None else state._replace(highest=0, sent=0, unseen=0),
    )


def _numbers(sa: SecurityAssociation) -> Numbers:
    state = sa.anti_replay
    replay = (None, None, None) if state is None else (state.highest, state.sent, state.unseen)
    numbers = (
        sa.octets,
        sa.packets,
        sa.late_packets,
        sa.replayed_packets,
        sa.integrity_failures,
        sa.used_s,
        sa.last_used_s,
        *replay,
    )
    return tuple(None if number is None else signed(number) for number in numbers)
