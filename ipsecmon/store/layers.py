"""What passed at each layer inside tunnels since it was first counted, by interface or road warrior.

Road warriors come and go: one that was away for longer than the store's retention is added to OTHER_PEERS of
its tunnel, and so are those that were away for longest beyond MAX_LAYERS. No sum over a tunnel changes by it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from ipsecmon.model import OTHER_PEERS, Batch, Direction, Layer, LayerKey
from ipsecmon.store.sums import MAX_NUMBER, added
from ipsecmon.store.tunnels import opened_reader

__all__ = ["MAX_LAYERS", "LayerRow", "add_layers", "fold_layers", "layer_rows"]

MAX_LAYERS = 20_000  # rows: ten tunnels of as many road warriors as have a series of their own, both ways
FOLD_LAYERS = 1024  # by one commit, some milliseconds
_FIRST_WITH_LAYERS = 5  # version of the file

_SUMS = ("octets", "packets", "bridged_octets", "bridged_packets")
_NEWEST = ("last_octets", "last_packets", "start_ns", "end_ns")
_KEY = ("tunnel", "layer", "link", "direction")
_COLUMNS = ", ".join((*_KEY, *_SUMS, *_NEWEST))
_CONFLICT = f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {added(_SUMS)}"
_ADD = (
    f"INSERT INTO layer_total ({_COLUMNS}) VALUES (?{', ?' * 11})"
    f"{_CONFLICT}, {', '.join(f'{name} = excluded.{name}' for name in _NEWEST)}"
)
_FOLD = (
    f"INSERT INTO layer_total ({_COLUMNS}) SELECT tunnel, layer, ?, direction, {', '.join(_SUMS)}, 0, 0, 0, 0"
    f" FROM layer_total WHERE tunnel = ? AND layer = ? AND link = ? AND direction = ?{_CONFLICT}"
)
_DELETE = "DELETE FROM layer_total WHERE tunnel = ? AND layer = ? AND link = ? AND direction = ?"
_AWAY = (
    f"SELECT {', '.join(_KEY)} FROM layer_total WHERE link NOT IN ('', ?) AND end_ns < ?"
    " ORDER BY end_ns LIMIT ?"
)


@dataclass(frozen=True)
class LayerRow:
    """octets, packets: since it was first counted. last_*: of the newest interval, but what passed before it.

    is_newest: it was there in the newest interval; else last_* are 0. end_ns: when it was there last.
    """

    key: LayerKey
    octets: int
    packets: int
    last_octets: int
    last_packets: int
    end_ns: int
    is_newest: bool


def add_layers(connection: sqlite3.Connection, batch: Batch) -> None:
    for one in batch.layers:
        sums = [min(getattr(one, name), MAX_NUMBER) for name in _SUMS]
        last = (sums[0] - sums[2], sums[1] - sums[3])
        connection.execute(_ADD, (*_names(one.key), *sums, *last, batch.start_ns, batch.end_ns))


def fold_layers(connection: sqlite3.Connection, before_ns: int, newest_end_ns: int) -> None:
    """Those away since before_ns go, and others that newest_end_ns does not know, if need be."""
    _fold(connection, before_ns, FOLD_LAYERS)
    (rows,) = connection.execute("SELECT count(*) FROM layer_total").fetchone()
    if rows > MAX_LAYERS:
        _fold(connection, newest_end_ns, min(rows - MAX_LAYERS, FOLD_LAYERS))


def layer_rows(folder: Path) -> list[LayerRow]:
    """All of them, in order; none where nothing was counted yet. Raises StoreError."""
    with opened_reader(folder) as (connection, version):
        if version < _FIRST_WITH_LAYERS:  # no agent has migrated it yet
            return []
        newest = connection.execute("SELECT last_start_ns, last_end_ns FROM tunnel_cover").fetchone()
        rows = connection.execute(f"SELECT {_COLUMNS} FROM layer_total ORDER BY {', '.join(_KEY)}")
        return [_row(found, newest) for found in rows]


def _fold(connection: sqlite3.Connection, before_ns: int, at_most: int) -> None:
    away = connection.execute(_AWAY, (OTHER_PEERS, before_ns, at_most)).fetchall()
    for names in away:
        connection.execute(_FOLD, (OTHER_PEERS, *names))
        connection.execute(_DELETE, names)


def _names(key: LayerKey) -> tuple[str, str, str, str]:
    return key.tunnel, key.layer.value, key.link, key.direction.value


def _row(
    found: tuple[str, str, str, str, int, int, int, int, int, int, int, int], newest: object
) -> LayerRow:
    tunnel, layer, link, direction, octets, packets, _, _, last_octets, last_packets, start_ns, end_ns = found
    is_newest = (start_ns, end_ns) == newest
    last = (last_octets, last_packets) if is_newest else (0, 0)
    key = LayerKey(tunnel, Layer(layer), link, Direction(direction))
    return LayerRow(key, octets, packets, *last, end_ns, is_newest)
