"""SAs that are moved to other addresses: which one a life continues, and those that may yet be continued.

MIGRATE and MOBIKE keep SPI, times and counters, and the address of one end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional

from ipsecmon.account.sa_life import Life
from ipsecmon.ipsec import SaId, SecurityAssociation

__all__ = ["ENDED_KEPT", "EndedSas", "find_origin", "moved_key"]

ENDED_KEPT = 4096  # ended SAs that a moved one may still go back to: some minutes of 10 rekeys a second


class EndedSas:
    """The last ones that ended."""

    def __init__(self) -> None:
        self._lives: dict[SaId, Life] = {}

    def __iter__(self) -> Iterator[Life]:
        return iter(self._lives.values())

    def __len__(self) -> int:
        return len(self._lives)

    def add(self, life: Life) -> None:
        self._lives.pop(life.sa.id, None)
        self._lives[life.sa.id] = life
        if len(self._lives) > ENDED_KEPT:
            del self._lives[next(iter(self._lives))]

    def find_lost(self, key: SaId) -> Optional[Life]:
        """One that ended unseen, as far as was known."""
        life = self._lives.get(key)
        return life if life is not None and life.is_lost else None

    def discard(self, life: Life) -> None:
        if self._lives.get(life.sa.id) is life:
            del self._lives[life.sa.id]


def moved_key(sa: SecurityAssociation) -> tuple[object, ...]:
    """What stays when an SA is moved to other addresses."""
    return (sa.spi, sa.protocol, sa.added_s, sa.reqid, sa.mode)


def find_origin(sa: SecurityAssociation, lives: Iterable[Life]) -> Optional[Life]:
    """One that has not ended, first. Of an SA that was moved often, the last, whose counters are highest."""
    key = moved_key(sa)
    found = [
        life
        for life in lives
        if life.sa.spi == sa.spi
        and moved_key(life.sa) == key
        and (life.sa.source == sa.source or life.sa.destination == sa.destination)
        and life.sa.used_s in (None, sa.used_s)
    ]
    return max(found, key=lambda life: (not life.is_over, life.sa.packets), default=None)
