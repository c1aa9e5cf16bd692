"""What the store had to give up or could not do: said once for each change of state, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Optional

from ipsecmon.model import Counts

__all__ = ["Happened", "Notices", "StoreState"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Happened:
    """In one commit. dropped: batches by sink. full: there is no room, and nothing left to give up."""

    dropped: Mapping[str, int]
    trimmed_spans: int = 0
    full: bool = False
    saturated: int = 0


@dataclass(frozen=True)
class StoreState:
    """Octets: used pages of the file, the file, its log, the spool in it, and what is allowed for all.

    refusal: why the last commit failed, None if it did not. dropping: sinks whose oldest batches are
    dropped. trimmed: history was cut to the size since the start. too_small: max_size is.
    """

    octets_in_use: int
    file_octets: int
    wal_octets: int
    spool_octets: int
    max_octets: int
    refusal: Optional[str]
    dropping: tuple[str, ...]
    trimmed: bool
    too_small: bool


class Notices:
    def __init__(self, counts: Optional[Counts]) -> None:
        self._counts = counts
        self._refusal: Optional[str] = None
        self._dropping: dict[str, int] = {}
        self._trimmed = False
        self._too_small = False
        self._saturated = False

    def refused(self, why: str) -> None:
        self._refusal = why

    def loaded(self, damaged_sas: int) -> None:
        if damaged_sas:
            _logger.warning("saved SAs cannot be read, these begin anew sas=%d", damaged_sas)
            if self._counts:
                self._counts.add("store", "damaged-sas", damaged_sas)

    def committed(self, happened: Happened, backlog: Callable[[str], int]) -> None:
        """backlog: batches that a sink is behind, asked only where some were dropped."""
        if self._refusal is not None:
            _logger.info("store takes intervals again, what was counted meanwhile is in it")
        self._refusal = None
        self._say_drops(happened.dropped, backlog)
        self._say_trims(happened)
        self._say_sums(happened.saturated)

    def state(
        self, octets_in_use: int, file_octets: int, wal_octets: int, spool_octets: int, max_octets: int
    ) -> StoreState:
        return StoreState(
            octets_in_use,
            file_octets,
            wal_octets,
            spool_octets,
            max_octets,
            self._refusal,
            tuple(self._dropping),
            self._trimmed,
            self._too_small,
        )

    def _say_drops(self, dropped: Mapping[str, int], backlog: Callable[[str], int]) -> None:
        for sink, batches in dropped.items():
            if sink not in self._dropping:
                _logger.warning("spool is full, the oldest intervals are dropped sink=%s", sink)
                self._dropping[sink] = backlog(sink) + batches
        for sink, at_first in list(self._dropping.items()):
            if sink not in dropped and backlog(sink) <= at_first // 2:
                _logger.info("spool has room again sink=%s", sink)
                del self._dropping[sink]

    def _say_trims(self, happened: Happened) -> None:
        if happened.trimmed_spans:
            if self._counts:
                self._counts.add("store", "trimmed-spans", happened.trimmed_spans)
            if not self._trimmed:
                _logger.warning("store is at its max_size, the oldest fine history goes before its time")
            self._trimmed = True
        if happened.full and not self._too_small:
            _logger.error("store.max_size is too small for these counters, the file grows beyond it")
        self._too_small = happened.full

    def _say_sums(self, saturated: int) -> None:
        if saturated and self._counts:
            self._counts.add("store", "saturated-sums", saturated)
        if saturated and not self._saturated:
            _logger.error("a sum has reached the largest number that the store can hold and stays there")
        self._saturated = bool(saturated)
