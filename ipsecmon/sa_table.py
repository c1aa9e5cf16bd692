"""The SAs of one dump as a table: what seldom changes as rows, what moves with each packet as columns.

Of thousands of SAs that carry traffic a poll looks at columns; a row is made when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Optional, overload

import numpy as np
import numpy.typing as npt

from ipsecmon.ipsec import AntiReplay, SecurityAssociation

__all__ = [
    "COLUMNS",
    "FAILED",
    "HIGHEST",
    "LAST_USED",
    "LATE",
    "NEVER",
    "OCTETS",
    "PACKETS",
    "REPLAYED",
    "SENT",
    "UNSEEN",
    "USED",
    "WINDOW",
    "Indexes",
    "Numbers",
    "SaTable",
]

OCTETS, PACKETS, USED, LATE, REPLAYED, FAILED, LAST_USED, HIGHEST, SENT, UNSEEN, WINDOW = range(11)
COLUMNS = 11
NEVER = (1 << 64) - 1  # LAST_USED: not told; WINDOW: nothing told of anti-replay

Numbers = npt.NDArray[np.uint64]  # rows of COLUMNS; seconds and counts as in SecurityAssociation
Indexes = npt.NDArray[np.int64]

_serial = count(1)


class SaTable(Sequence[SecurityAssociation]):
    """A table is not changed once move() was called for all that moved.

    number, follows: of this table, and of the one that places and was refer to; 0 is none. places: where each
    row was in that one, -1 for a new one; None where all are where they were. moved: which rows have other
    numbers than they had there, and was: what these were, a row each. protocols: of all its SAs.
    """

    def __init__(
        self, rows: list[SecurityAssociation], numbers: Numbers, current: npt.NDArray[np.bool_]
    ) -> None:
        """rows: their counters are only right where current says so."""
        self._rows, self.numbers, self._current = rows, numbers, current
        self.protocols: frozenset[int] = frozenset()
        self.number = next(_serial)
        self.follows = 0
        self.places: Optional[Indexes] = None
        self.moved: Indexes = np.zeros(0, np.int64)
        self.was: Numbers = np.zeros((0, COLUMNS), np.uint64)

    @classmethod
    def of(cls, rows: Iterable[SecurityAssociation]) -> SaTable:
        """Raises OverflowError for a number that 64 bits do not hold."""
        listed = list(rows)
        numbers = np.array([_numbers(row) for row in listed], np.uint64).reshape(-1, COLUMNS)
        return cls(listed, numbers, np.ones(len(listed), np.bool_))._with_protocols()

    def next(self, places: Optional[Indexes], told: Sequence[SecurityAssociation]) -> SaTable:
        """The table of the next dump, in which nothing has moved yet. told: the rows of places that are -1.

        Raises OverflowError.
        """
        if places is None:
            table = SaTable(list(self._rows), self.numbers.copy(), self._current.copy())
            table.protocols = self.protocols
        else:
            table = self._placed(places, SaTable.of(told))
        table.follows, table.places = self.number, places
        return table

    def _placed(self, places: Indexes, told: SaTable) -> SaTable:
        """A row that was told lies behind those of this table."""
        at = places.copy()
        at[at < 0] = np.arange(len(self), len(self) + len(told))
        rows = [*self._rows, *told._rows]
        return SaTable(
            [rows[one] for one in at.tolist()],
            np.concatenate((self.numbers, told.numbers))[at],
            np.concatenate((self._current, told._current))[at],
        )._with_protocols()

    def _with_protocols(self) -> SaTable:
        self.protocols = frozenset(row.protocol for row in self._rows)
        return self

    def move(self, rows: Indexes, numbers: Numbers) -> None:
        """Other numbers for some rows."""
        self.moved = np.concatenate((self.moved, rows))
        self.was = np.concatenate((self.was, self.numbers[rows]))
        self.numbers[rows] = numbers
        self._current[rows] = False

    @property
    def still(self) -> Sequence[SecurityAssociation]:
        """The rows for all but what COLUMNS hold: that may be of an earlier dump."""
        return self._rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> SecurityAssociation: ...
    @overload
    def __getitem__(self, at: slice) -> list[SecurityAssociation]: ...
    def __getitem__(self, at: int | slice) -> SecurityAssociation | list[SecurityAssociation]:
        """The same object each time, and in the next table too if it does not move."""
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        if not self._current[at]:
            self._rows[at] = _with_numbers(self._rows[at], self.numbers[at].tolist())
            self._current[at] = True
        return self._rows[at]

    def __iter__(self) -> Iterator[SecurityAssociation]:
        return map(self.__getitem__, range(len(self)))


def _numbers(row: SecurityAssociation) -> tuple[int, ...]:
    state = row.anti_replay
    return (
        row.octets,
        row.packets,
        row.used_s or 0,
        row.late_packets,
        row.replayed_packets,
        row.integrity_failures,
        NEVER if row.last_used_s is None else row.last_used_s,
        *((0, 0, 0, NEVER) if state is None else (state.highest, state.sent, state.unseen, state.window)),
    )


def _with_numbers(row: SecurityAssociation, numbers: list[Any]) -> SecurityAssociation:
    """tuple's own constructor is the quickest."""
    octets, packets, used, late, replayed, failed, last_used, highest, sent, unseen, _ = numbers
    was = row.anti_replay
    state = was and tuple.__new__(AntiReplay, (highest, sent, was[2], unseen, was[4]))
    last_used_s = None if last_used == NEVER else last_used
    counted = (octets, packets, row[9], used or None, late, replayed, failed)
    return tuple.__new__(
        SecurityAssociation, (*row[:7], *counted, *row[14:23], state, last_used_s, *row[25:])
    )
