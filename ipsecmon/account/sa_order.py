"""Lives of SAs in the order of the last dump, and what the next one says of them, for all of them at once.

Where packets came and nothing else happened, and that is nearly always, what came is added to the account
that lives of one place share, and the life is late: its last reading is made of the table when somebody asks.
All other rows are left to whoever called.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from typing import NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from ipsecmon.account.sa_life import Account, Life
from ipsecmon.ipsec import SecurityAssociation
from ipsecmon.sa_table import (
    FAILED,
    HIGHEST,
    LAST_USED,
    LATE,
    NEVER,
    OCTETS,
    PACKETS,
    REPLAYED,
    UNSEEN,
    WINDOW,
    Indexes,
    SaTable,
)

__all__ = ["SaOrder", "Swept"]

_MOST = 1 << 44  # octets an SA and poll, 17 TB: sums of 200,000 of them fit into 64 bits
_MOST_NUMBER = 1 << 60  # differences of such numbers fit too
_STILL = [LATE, REPLAYED, FAILED, UNSEEN]
_NEVER = np.uint64(NEVER)

Flags = npt.NDArray[np.bool_]


class Swept(NamedTuple):
    """lives: all that was said of them is booked. left: rows of which it is not."""

    lives: list[Life]
    left: list[int]


class SaOrder:
    """The rows of a table and their lives; nothing of a life is here but what it says itself."""

    def __init__(self) -> None:
        self._table = SaTable.of(())
        self._lives: list[Optional[Life]] = []
        self._is_steady: Flags = np.zeros(0, np.bool_)  # booked as its row says, and has an account
        self._account: Indexes = np.zeros(0, np.int64)
        self._lost: Indexes = np.zeros(0, np.int64)
        self._accounts: list[Account] = []
        self._changed: dict[Life, None] = {}

    def note(self, life: Life) -> None:
        """Something about it is, or is going to be, other than it was."""
        self._changed[life] = None

    def life(self, row: int) -> Optional[Life]:
        return self._lives[row]

    def put(self, row: int, life: Optional[Life]) -> None:
        self._lives[row] = life
        if life is not None:
            _settle_late((life,))  # its reading is at another row
            life.position = row
            self.note(life)

    def reading(self, position: int) -> SecurityAssociation:
        """What the last dump said."""
        return self._table[position]

    def refresh(self) -> None:
        """Take in what was noted. Right before a dump, and where there is none, now and then."""
        for life in self._changed:
            row = life.position
            if 0 <= row < len(self._lives) and self._lives[row] is life:
                self._is_steady[row] = self._can_sweep(life)
                self._lost[row] = life.lost
                if life.account is not None:
                    self._account[row] = self._number(life.account)
        self._changed.clear()

    def _can_sweep(self, life: Life) -> bool:
        return (
            not life.is_over
            and life.account is not None
            and (life.late is not None or life.sa is self._table[life.position])
        )

    def _number(self, account: Account) -> int:
        if account.number < 0:
            account.number = len(self._accounts)
            self._accounts.append(account)
        return account.number

    def sweep(self, table: SaTable) -> Swept:
        """The next dump. Until it is called again, rows and positions are those of this one."""
        self.refresh()
        if table.follows == self._table.number:
            self._follow(table.places)
        else:
            self._begin(len(table))
        is_quiet = self._find_quiet(table)
        is_left = ~self._is_steady
        is_left[table.moved[~is_quiet]] = True
        left: list[int] = np.flatnonzero(is_left).tolist()
        _settle_late(self._lives[row] for row in left)
        self._turn(table)
        self._book(table, is_quiet)
        swept = compress(self._lives, (~is_left).tolist()) if left else self._lives
        return Swept([life for life in swept if life is not None], left)

    def _begin(self, rows: int) -> None:
        """Nothing is known of where an SA was."""
        _settle_late(self._lives)
        self._lives = [None] * rows
        self._is_steady = np.zeros(rows, np.bool_)
        self._account, self._lost = np.zeros(rows, np.int64), np.zeros(rows, np.int64)

    def _follow(self, places: Optional[Indexes]) -> None:
        if places is None:
            return
        is_gone = np.ones(len(self._lives), np.bool_)
        is_gone[places[places >= 0]] = False
        _settle_late(compress(self._lives, is_gone.tolist()))
        lives = [*self._lives, None]  # of -1
        self._lives = [lives[place] for place in places.tolist()]
        self._is_steady = np.append(self._is_steady, False)[places]
        self._account, self._lost = (np.append(one, 0)[places] for one in (self._account, self._lost))

    def _turn(self, table: SaTable) -> None:
        if table.places is not None:
            for row, life in enumerate(self._lives):
                if life is not None:
                    life.position = row
        self._table = table

    def _find_quiet(self, table: SaTable) -> Flags:
        """For each row that moved, whether it says no more than that packets came."""
        was, now = table.was, table.numbers[table.moved]
        window, came = now[:, WINDOW], now - was
        counted = now[:, [HIGHEST, PACKETS, LATE, UNSEEN]]
        highest, packets, late, unseen = counted.astype(np.int64).T
        has_lost = highest - packets - late - unseen > self._lost[table.moved]
        quiet: Flags = (
            self._is_steady[table.moved]
            & (now[:, OCTETS] > was[:, OCTETS])
            & (now[:, PACKETS] > was[:, PACKETS])
            & (came[:, OCTETS] < _MOST)
            & (came[:, PACKETS] < _MOST)
            & (counted < _MOST_NUMBER).all(axis=1)
            & (now[:, _STILL] == was[:, _STILL]).all(axis=1)
            & (window != _NEVER)
            & ((window == 0) | ~has_lost)
        )
        return quiet

    def _book(self, table: SaTable, is_quiet: Flags) -> None:
        """What came, into accounts; the lives are late."""
        rows = table.moved[is_quiet]
        for life in map(self._lives.__getitem__, rows.tolist()):
            if life is not None:
                life.late = self
        now = table.numbers[rows]
        came = (now - table.was[is_quiet])[:, [OCTETS, PACKETS]].astype(np.int64)
        numbers, last_used = self._account[rows], now[:, LAST_USED]
        sums, used = np.zeros((len(self._accounts), 2), np.int64), np.zeros(len(self._accounts), np.uint64)
        np.add.at(sums, numbers, came)
        is_dated = last_used != _NEVER
        np.maximum.at(used, numbers[is_dated], last_used[is_dated])
        undated = set(numbers[~is_dated].tolist())
        for at in np.unique(numbers).tolist():
            octets, packets = sums[at].tolist()
            self._accounts[at].add(octets, packets, int(used[at]), at in undated)


def _settle_late(lives: Iterable[Optional[Life]]) -> None:
    """Make their last readings, while the table that has them is there."""
    for life in lives:
        if life is not None and life.late is not None:
            life.sa  # noqa: B018
