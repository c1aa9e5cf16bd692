"""The agent's side of the store: one transaction for each batch."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ipsecmon.clock import Moment
from ipsecmon.errors import StoreError
from ipsecmon.ipsec import SavedSas
from ipsecmon.model import Batch, CounterKey, Counts, Reading
from ipsecmon.qos import Event, QueueReading
from ipsecmon.store import (
    baselines,
    clock_steps,
    event_log,
    history,
    hours,
    kept,
    queue_rows,
    room,
    saved,
    spool,
    tunnel_totals,
)
from ipsecmon.store.codec import encode_batch
from ipsecmon.store.faults import says_damaged, translated
from ipsecmon.store.layers import add_layers, fold_layers
from ipsecmon.store.lock import AgentLock
from ipsecmon.store.notices import Happened, Notices, StoreState
from ipsecmon.store.opening import make_folder, mark_closed, mark_suspect, open_or_begin
from ipsecmon.store.sas import Written, load_sas, save_sas
from ipsecmon.store.schema import FILE, transaction
from ipsecmon.store.turns import Turns
from ipsecmon.store.wal import WAL_MAX_OCTETS, check_wal, wal_octets

__all__ = ["Opened", "Store"]

_LAST_END = "store.last_end_ns"
_LAST_START = "store.last_start_ns"
_TIDY_LEVEL_S = history.RESOLUTIONS_S[1]  # what reads a whole table is done every quarter of an hour
_SET_STATE = (
    "INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


@dataclass(frozen=True)
class Opened:
    """moved_aside: where a damaged store went before a fresh one was begun. kept_copy: of one of an older
    version, which may be deleted.
    """

    moved_aside: Optional[Path]
    kept_copy: Optional[Path] = None


class Store:
    """For one thread, from start() to stop(). Everything raises StoreError.

    folder: where the file is. interval_s, retention_s: as configured; they decide how long each
    resolution is kept. max_octets: of the file and its log. max_spool_batches: how many batches a sink may
    be behind. counts: where it counts what it had to give up. turns: for the spools of the same file.
    """

    def __init__(
        self,
        folder: Path,
        interval_s: int,
        retention_s: int,
        *,
        max_octets: int = room.DEFAULT_MAX_OCTETS,
        max_spool_batches: int = spool.MAX_SPOOL_BATCHES,
        counts: Optional[Counts] = None,
    ) -> None:
        self._folder = folder
        self._file = folder / FILE
        self._retention_s = retention_s
        self._retentions_s = history.retentions_s(interval_s, retention_s)
        self._max_octets = max_octets
        self._room_octets = max(0, max_octets - WAL_MAX_OCTETS)
        self._max_spool_batches = max_spool_batches
        self._notices = Notices(counts)
        self._lock = AgentLock(folder)
        self.turns = Turns()
        self._connection: Optional[sqlite3.Connection] = None
        self._written_sas: Optional[Written] = None

    def start(self, now: Moment) -> Opened:
        """Takes the folder for this agent; opens, creates or migrates the file."""
        with translated(self._folder):
            make_folder(self._folder)
            self._lock.acquire()
        try:
            with translated(self._file):
                begun = open_or_begin(self._file, now)
        except BaseException:
            self._lock.release()
            raise
        self._connection, self._written_sas = begun.connection, None
        return Opened(begun.moved_aside, begun.kept_copy)

    def stop(self) -> None:
        """Brings everything into the one file and gives the folder free. Twice does no harm."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                with translated(self._file), self.turns.turn(self._file):
                    mark_closed(connection)
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            if connection is not None:
                connection.close()
            self._lock.release()

    def keep(self, interval_s: int, retention_s: int, max_octets: int) -> None:
        """From now on as if it had been made with these."""
        self._max_octets = max_octets
        self._room_octets = max(0, max_octets - WAL_MAX_OCTETS)
        self._retention_s = retention_s
        self._retentions_s = history.retentions_s(interval_s, retention_s)

    def commit(
        self,
        batch: Batch,
        readings: Iterable[Reading],
        sinks: Sequence[str],
        now: Moment,
        stepped_ns: int = 0,
        sas: Optional[SavedSas] = None,
        queues: Optional[Sequence[QueueReading]] = None,
    ) -> None:
        """The batch in history and spool, and the readings it ends with: all, or after an error nothing.

        stepped_ns: how far the wall clock was stepped in the batch's interval. sas, queues: in place of those
        that were saved last, which stay without.
        """
        connection = self._opened
        written_sas = self._written_sas
        try:
            with self._watched(), self.turns.turn(self._file):
                check_wal(connection, self._file)
                with transaction(connection):
                    happened = self._add(connection, batch, sinks, now)
                    saved.save_readings(connection, readings, batch.end_ns)
                    if sas is not None:
                        written_sas = save_sas(connection, sas, written_sas)
                    if queues is not None:
                        queue_rows.save_readings(connection, queues)
                    event_log.mark_told(connection, batch.events)
                    self._note_end(connection, batch)
                    if stepped_ns:
                        clock_steps.add(connection, batch.end_ns, batch.end_ns + stepped_ns)
        except StoreError as error:
            self._notices.refused(str(error))
            raise
        self._written_sas = written_sas
        with contextlib.suppress(StoreError):  # the batch is safe, and the next commit tries it again
            self._notices.committed(happened, lambda sink: self.backlog(sink).batches)
            with self._watched():
                room.shrink(connection, self._room_octets)

    def _add(
        self, connection: sqlite3.Connection, batch: Batch, sinks: Sequence[str], now: Moment
    ) -> Happened:
        hour = hours.closed_hour(connection, batch)
        added = history.add_batch(connection, batch)
        text = encode_batch(baselines.tell(connection, batch))
        hours.add_lines(connection, batch)
        kept.keep(connection, batch, text)
        history.prune(connection, added.begun, self._retentions_s, now.wall_ns)
        # not by a clock that was just set ahead by more than the retention
        newest_ns = min(now.wall_ns, batch.end_ns)
        oldest_ns = newest_ns - self._retention_s * history.NS
        saved.forget_readings(connection, oldest_ns)
        hours.forget(connection, oldest_ns)
        baselines.add_parts(connection, batch, newest_ns, self._retention_s)
        kept.forget(connection, oldest_ns)
        saturated = added.saturated
        tunnel_totals.add_totals(connection, batch)
        add_layers(connection, batch)
        if _TIDY_LEVEL_S in added.begun:
            saturated += tunnel_totals.count_saturated(connection)
            tunnel_totals.fold(connection, oldest_ns, batch.end_ns)
            fold_layers(connection, oldest_ns, batch.end_ns)
            event_log.forget(connection, oldest_ns)
        if hour:
            spool.enqueue_hour(connection, hour, sinks)
        dropped = spool.enqueue(connection, batch.start_ns, text, sinks, self._max_spool_batches)
        made = room.make_room(connection, self._room_octets)
        for sink, batches in dropped.items():
            made.dropped[sink] = made.dropped.get(sink, 0) + batches
        return Happened(made.dropped, made.trimmed_spans, made.full, saturated)

    def _note_end(self, connection: sqlite3.Connection, batch: Batch) -> None:
        last_start_ns = self.last_start_ns()
        newest_start_ns = batch.start_ns if last_start_ns is None else max(last_start_ns, batch.start_ns)
        connection.execute(_SET_STATE, (_LAST_START, str(newest_start_ns)))
        connection.execute(_SET_STATE, (_LAST_END, str(batch.end_ns)))

    def save_readings(self, readings: Iterable[Reading], at_ns: int, sas: Optional[SavedSas] = None) -> None:
        """Readings without a batch: the baseline at start. sas: as in commit()."""
        connection = self._opened
        written_sas = self._written_sas
        with self._writing(connection):
            saved.save_readings(connection, readings, at_ns)
            if sas is not None:
                written_sas = save_sas(connection, sas, written_sas)
        self._written_sas = written_sas

    def readings(self) -> dict[CounterKey, saved.SavedReading]:
        with translated(self._file):
            return saved.load_readings(self._opened)

    def saved_sas(self) -> SavedSas:
        """Those of the newest commit that had any."""
        with translated(self._file):
            loaded = load_sas(self._opened)
        self._notices.loaded(loaded.damaged)
        return loaded.saved

    def saved_queues(self) -> list[QueueReading]:
        with translated(self._file):
            return queue_rows.load_readings(self._opened)

    def add_event(self, event: Event, state: Optional[Mapping[str, str]] = None) -> Event:
        """As it is kept. state: set in the same transaction."""
        connection = self._opened
        with self._writing(connection):
            kept = event_log.add(connection, event)
            connection.executemany(_SET_STATE, list((state or {}).items()))
        return kept

    def untold_events(self) -> tuple[Event, ...]:
        """Events for the next batch; it is commit() that tells them."""
        with translated(self._file):
            return event_log.untold(self._opened)

    def last_end_ns(self) -> Optional[int]:
        """End of the batch that was committed last."""
        return self._integer(_LAST_END)

    def last_start_ns(self) -> Optional[int]:
        """The largest start that was ever committed."""
        return self._integer(_LAST_START)

    def state(self, key: str) -> Optional[str]:
        with translated(self._file):
            found = self._opened.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else None

    def set_state(self, key: str, value: str) -> None:
        with translated(self._file), self.turns.turn(self._file):
            self._opened.execute(_SET_STATE, (key, value))

    def backlog(self, sink: str) -> spool.Backlog:
        """As Spool.backlog, for the agent's thread."""
        with translated(self._file):
            return spool.backlog(self._opened, sink)

    def spool_dropped(self) -> dict[str, int]:
        """By sink: batches that were dropped unsent since the store began."""
        with translated(self._file):
            return spool.dropped_batches(self._opened)

    def condition(self) -> StoreState:
        """Sizes, and what is wrong, for people."""
        with translated(self._file):
            return self._notices.state(
                octets_in_use=room.octets_in_use(self._opened),
                file_octets=self._file.stat().st_size,
                wal_octets=wal_octets(self._file),
                spool_octets=spool.octets(self._opened),
                max_octets=self._max_octets,
            )

    def forget_sinks_except(self, names: Collection[str]) -> dict[str, int]:
        """Drops what waits for any other sink; how many batches, by sink."""
        connection = self._opened
        with self._writing(connection):
            return spool.forget_sinks_except(connection, names)

    @contextlib.contextmanager
    def _writing(self, connection: sqlite3.Connection) -> Iterator[None]:
        with translated(self._file), self.turns.turn(self._file), transaction(connection):
            yield

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        with translated(self._file):
            try:
                yield
            except sqlite3.DatabaseError as error:
                if says_damaged(error):
                    mark_suspect(self._file)
                raise

    def _integer(self, key: str) -> Optional[int]:
        value = self.state(key)
        return None if value is None else int(value)

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"store {self._file} is not open")
        return self._connection
