"""The tables, their version, and the ways to open the file.

level       how far back each resolution is complete; 0 stands for the rows as they were committed
span        one row of time at one resolution; first_ns, end_ns: what it really covers, which can be
            less than the resolution (agent started late) or more (gap bridged by the kernel counters)
history     what happened on one counter in one span
reading     the last reading of each kernel counter, with the end of the batch it belongs to
payload     one batch, once, as long as a delivery of it is left; is_hour: sums of an hour, not an interval
kept_batch  batches as they were committed, compressed, to be sent again on request
part_hour   what parts of lines carried in an hour; how: the position in How
part_bucket the same of five minutes, for a week and a day: what baselines are made of
line_hour   what the config said last in an hour that a line can carry
delivery    one batch that one sink has not acknowledged
spool_size  octets of all payloads, kept by triggers, and what each takes up besides
clock_step  what the wall clock was set from and to
tunnel      names of what the two tables below are about
tunnel_total    sums since the table was made, by peer; levels and, as last_*, the sums of the newest
            interval that had it, [start_ns, end_ns)
tunnel_history  what happened in one tunnel and direction in one span, all peers together
tunnel_cover    one row: what tunnel_total covers, and the interval that was committed last
layer_total sums at each layer inside tunnels, by interface or road warrior; as last_*, of the newest
            interval that had it, [start_ns, end_ns), what did not pass before it
xfrm_error  packets dropped since the table was made, by the kernel's names
queue       names of qdiscs and classes; the line whose packets each got last, and which of them
queue_history  what happened in one of them in one span; of those in which anything did
queue_reading  what each of them said last, its numbers as JSON
event       what changed on this router; is_told: a batch for the sinks has it
sa          SAs as last counted: what does not change in their lives, as JSON
sa_count    their numbers, apart: in few pages, as many of them change with each commit

All times are ns since 1970, UTC. Every number is checked to be an integer: SQLite turns a sum
that leaves 64 bit silently into a float.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ipsecmon.errors import NewerStore, StoreError

__all__ = [
    "FILE",
    "SCHEMA_VERSION",
    "check_version",
    "connect",
    "connect_reader",
    "steps_from",
    "transaction",
]

FILE = "ipsecmon.sqlite"
SCHEMA_VERSION = 8
BUSY_TIMEOUT_S = 5.0
WAL_LEFT_OCTETS = 16 * 2**20  # what a WAL is cut to when it begins anew; wal.py bounds it before
BATCH_OVERHEAD_OCTETS = 100  # of a row in payload, and of one delivery with its index

_NUMBERS = (
    "octets",
    "packets",
    "nflog_octets",
    "nflog_packets",
    "lost_packets",
    "bridged_octets",
    "bridged_packets",
    "pending_packets",
)
_TUNNEL_SUMS = (  # of version 3: a step stays as it is, whatever model.TUNNEL_SUMS becomes
    "octets",
    "packets",
    "payload_octets",
    "derived_octets",
    "bridged_octets",
    "bridged_packets",
    "error_bound_octets",
    "error_bound_packets",
    "unseen_ends",
    "unbounded_ends",
    "births",
    "rekeys",
    "ends",
    "lost_packets",
    "late_packets",
    "replayed_packets",
    "integrity_failures",
)

_LAYER_NUMBERS = (
    "octets",
    "packets",
    "bridged_octets",
    "bridged_packets",
    "last_octets",
    "last_packets",
    "start_ns",
    "end_ns",
)

_QUEUE_NUMBERS = (  # of version 6
    "octets",
    "packets",
    "drops",
    "overlimits",
    "requeues",
    "bridged_octets",
    "bridged_packets",
    "bridged_drops",
    "ecn_marks",
    "new_flows",
    "memory_drops",
    "lends",
    "borrows",
    "backlog_octets",
    "backlog_packets",
)


def _integers(*names: str) -> str:
    return ", ".join(f"{name} INTEGER NOT NULL CHECK (typeof({name}) = 'integer')" for name in names)


def _integers_or_null(*names: str) -> str:
    return ", ".join(f"{name} INTEGER CHECK (typeof({name}) IN ('integer', 'null'))" for name in names)


_NUMBER_COLUMNS = _integers(*_NUMBERS)
_TUNNEL_COLUMNS = (
    f"{_integers(*_TUNNEL_SUMS, 'open_packets', 'sas', 'sas_without_anti_replay')},"
    f" {_integers_or_null('last_used_s', 'added_s')}"
)

_PAYLOAD_OCTETS = f"(length(CAST({{row}}.batch AS BLOB)) + {BATCH_OVERHEAD_OCTETS})"

# Version n is reached from n - 1 by the statements under n; a new file starts at 0.
_STEPS = {
    1: (
        "CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE counter (id INTEGER PRIMARY KEY, name TEXT NOT NULL, direction TEXT NOT NULL,"
        " observed_at TEXT NOT NULL, UNIQUE (name, direction, observed_at))",
        "CREATE TABLE level (resolution_s INTEGER PRIMARY KEY, complete_from_ns INTEGER NOT NULL)",
        "INSERT INTO level VALUES (0, 0), (60, 0), (900, 0), (86400, 0)",
        "CREATE TABLE span (id INTEGER PRIMARY KEY, resolution_s INTEGER NOT NULL, start_ns INTEGER NOT NULL,"
        " first_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, router TEXT NOT NULL,"
        " UNIQUE (resolution_s, start_ns))",
        f"CREATE TABLE history (span_id INTEGER NOT NULL, counter_id INTEGER NOT NULL, {_NUMBER_COLUMNS},"
        " PRIMARY KEY (span_id, counter_id)) WITHOUT ROWID",
        "CREATE TABLE reading (counter_id INTEGER PRIMARY KEY, octets INTEGER NOT NULL,"
        " packets INTEGER NOT NULL, birth TEXT NOT NULL, at_ns INTEGER NOT NULL)",
        # AUTOINCREMENT: the number of an acknowledged batch is never given to a later one.
        "CREATE TABLE payload (id INTEGER PRIMARY KEY AUTOINCREMENT, start_ns INTEGER NOT NULL,"
        " batch TEXT NOT NULL)",
        "CREATE TABLE delivery (sink TEXT NOT NULL, payload_id INTEGER NOT NULL,"
        " PRIMARY KEY (sink, payload_id)) WITHOUT ROWID",
        "CREATE INDEX delivery_by_payload ON delivery (payload_id)",
    ),
    2: (
        "CREATE TABLE spool_size (octets INTEGER NOT NULL)",
        "INSERT INTO spool_size"
        f" SELECT coalesce(sum({_PAYLOAD_OCTETS.format(row='payload')}), 0) FROM payload",
        "CREATE TRIGGER payload_grows AFTER INSERT ON payload BEGIN"
        f" UPDATE spool_size SET octets = octets + {_PAYLOAD_OCTETS.format(row='NEW')}; END",
        "CREATE TRIGGER payload_shrinks AFTER DELETE ON payload BEGIN"
        f" UPDATE spool_size SET octets = octets - {_PAYLOAD_OCTETS.format(row='OLD')}; END",
        "CREATE TABLE clock_step (id INTEGER PRIMARY KEY, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL)",
    ),
    3: (
        "CREATE TABLE tunnel (id INTEGER PRIMARY KEY, tunnel TEXT NOT NULL, peer TEXT NOT NULL,"
        " direction TEXT NOT NULL, UNIQUE (tunnel, peer, direction))",
        f"CREATE TABLE tunnel_total (tunnel_id INTEGER PRIMARY KEY, {_integers('start_ns', 'end_ns')},"
        f" {_TUNNEL_COLUMNS}, {_integers(*(f'last_{name}' for name in _TUNNEL_SUMS))})",
        "CREATE TABLE tunnel_history (span_id INTEGER NOT NULL, tunnel_id INTEGER NOT NULL,"
        f" {_TUNNEL_COLUMNS}, PRIMARY KEY (span_id, tunnel_id)) WITHOUT ROWID",
        "CREATE TABLE tunnel_cover (id INTEGER PRIMARY KEY CHECK (id = 1), router TEXT NOT NULL,"
        f" {_integers('start_ns', 'last_start_ns', 'last_end_ns')})",
        f"CREATE TABLE xfrm_error (error TEXT PRIMARY KEY, {_integers('packets')}) WITHOUT ROWID",
        f"CREATE TABLE sa (id INTEGER PRIMARY KEY, still TEXT NOT NULL, {_integers('is_awaited')})",
        "CREATE TABLE sa_count (id INTEGER PRIMARY KEY,"
        f" {_integers('octets', 'packets', 'late_packets', 'replayed_packets', 'integrity_failures')},"
        f" {_integers_or_null('used_s', 'last_used_s', 'highest', 'sent', 'unseen')})",
    ),
    4: (),  # observation points that earlier versions refuse: the line's terms
    5: (  # and shares of parts, and what is derived
        "CREATE TABLE layer_total (tunnel TEXT NOT NULL, layer TEXT NOT NULL, link TEXT NOT NULL,"
        f" direction TEXT NOT NULL, {_integers(*_LAYER_NUMBERS)},"
        " PRIMARY KEY (tunnel, layer, link, direction)) WITHOUT ROWID",
    ),
    6: (
        "CREATE TABLE queue (id INTEGER PRIMARY KEY, interface TEXT NOT NULL, kind TEXT NOT NULL,"
        " handle TEXT NOT NULL, parent TEXT NOT NULL, UNIQUE (interface, kind, handle, parent))",
        "CREATE TABLE queue_history (span_id INTEGER NOT NULL, queue_id INTEGER NOT NULL,"
        f" {_integers(*_QUEUE_NUMBERS)}, PRIMARY KEY (span_id, queue_id)) WITHOUT ROWID",
        "CREATE TABLE queue_reading (queue_id INTEGER PRIMARY KEY, life TEXT NOT NULL,"
        " numbers TEXT NOT NULL)",
        "CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
        f" interface TEXT NOT NULL, {_integers('start_ns', 'end_ns', 'count', 'is_told')},"
        " text TEXT NOT NULL, UNIQUE (start_ns, kind, interface))",
    ),
    7: (
        "ALTER TABLE payload ADD COLUMN is_hour INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE kept_batch (id INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL, batch BLOB NOT NULL)",
        "CREATE INDEX kept_batch_by_start ON kept_batch (start_ns)",
        "CREATE TABLE part_hour (hour_ns INTEGER NOT NULL, line TEXT NOT NULL, part TEXT NOT NULL,"
        f" direction TEXT NOT NULL, {_integers('octets', 'packets', 'how')},"
        " PRIMARY KEY (hour_ns, line, part, direction)) WITHOUT ROWID",
    ),
    8: (
        "CREATE TABLE part_bucket (bucket_ns INTEGER NOT NULL, line TEXT NOT NULL, part TEXT NOT NULL,"
        f" direction TEXT NOT NULL, {_integers('octets', 'packets', 'how')},"
        " PRIMARY KEY (bucket_ns, line, part, direction)) WITHOUT ROWID",
        "CREATE TABLE line_hour (hour_ns INTEGER NOT NULL, line TEXT NOT NULL, direction TEXT NOT NULL,"
        f" {_integers('bits_per_s')}, PRIMARY KEY (hour_ns, line, direction)) WITHOUT ROWID",
        "ALTER TABLE queue ADD COLUMN line TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE queue ADD COLUMN direction TEXT NOT NULL DEFAULT 'unknown'",
    ),
}


def connect(file: Path) -> sqlite3.Connection:
    """A writing connection to a file that exists, for one thread."""
    connection = _open(file, "rw")
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file; others stay as they are
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LEFT_OCTETS}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(file: Path) -> sqlite3.Connection:
    """A connection that cannot write, beside a running agent or without one."""
    connection = _open(file, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if Path(f"{file}-wal").exists() or os.access(file.parent, os.W_OK):
            raise
        # Nobody writes (no WAL), and SQLite cannot make one here: the file is all there is.
        return _open(file, "ro&immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def check_version(connection: sqlite3.Connection, file: Path) -> int:
    """The version of the file; 0 for a new one. Refuses what this ipsecmon cannot use."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA_VERSION:
        raise NewerStore(
            f"store {file} was written by a newer ipsecmon (schema {found}, this one knows {SCHEMA_VERSION}):"
            " install that version or move the file away"
        )
    if found == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{file} is a database of another program: move it away or change store.path")
    return found


def steps_from(found: int) -> list[str]:
    """The statements that make a file of version found one of ours."""
    steps = [step for version in range(found + 1, SCHEMA_VERSION + 1) for step in _STEPS[version]]
    return [*steps, f"PRAGMA user_version = {SCHEMA_VERSION}"]


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; the connection can be used again either way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk can make SQLite roll back by itself
            connection.execute("ROLLBACK")
        raise


def _open(file: Path, mode: str) -> sqlite3.Connection:
    # isolation_level None: transactions are begun by transaction() and never by the module.
    uri = f"{file.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
