"""A reader of SAs that says what a test told it."""

from __future__ import annotations

from typing import Optional

from ipsecmon.helper.sa_reader import Heard
from ipsecmon.ipsec import Policy, SaEvent, SecurityAssociation
from ipsecmon.wire.sa_changes import Changes, compare_rows, tell_all

__all__ = ["MadeUpReader"]


class MadeUpReader:
    """pending: events not asked for yet. told: by policies() once. failure: raised by whatever is asked."""

    def __init__(self) -> None:
        self.rows: list[SecurityAssociation] = []
        self._last: list[SecurityAssociation] = []
        self.told: Optional[list[Policy]] = []
        self.pending: list[SaEvent] = []
        self.has_missed = False
        self.failure: Optional[Exception] = None
        self.is_open = True

    def changes(self, is_known: bool) -> Changes:
        self._fail()
        rows, last, self._last = list(self.rows), self._last, list(self.rows)
        return compare_rows(rows, last) if is_known else tell_all(rows)

    def policies(self) -> Optional[list[Policy]]:
        self._fail()
        told, self.told = self.told, None
        return told

    def events(self, limit: int) -> Heard:
        self._fail()
        events, self.pending = self.pending[:limit], self.pending[limit:]
        has_missed, self.has_missed = self.has_missed, False
        return Heard(events, has_missed, bool(self.pending))

    def close(self) -> None:
        self.is_open = False

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
