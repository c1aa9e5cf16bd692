"""SAs, IPsec policies and what happens to SAs, from the helper, which alone may ask the kernel.

In: the helper's verbs `sa-dump` and `sa-events`. Out: values of ipsec.py. Where nothing changed, a dump has
the objects of the last one. A helper that was started again, or that had to open its reader again, heard
nothing in between: the next hear() says that events were missed.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Optional, Protocol

from ipsecmon.errors import DecodeError, HelperAway, HelperGone, SourceError
from ipsecmon.ipsec import Policy, SaEvent
from ipsecmon.model import Counts
from ipsecmon.sa_table import SaTable
from ipsecmon.wire.sa_dumps import DumpDecoder
from ipsecmon.wire.sa_rows import decode_events

__all__ = ["READERS", "SaDump", "SaHeard", "SaHelper", "XfrmSource"]

_logger = logging.getLogger(__name__)
READERS = {"netlink": ("netlink", "ip-xfrm"), "ip-xfrm": ("ip-xfrm",)}  # by config: what is tried in turn
_MOST_ANSWERS = 200  # of one hear(): what still comes waits for the next one
_MOST_EVENTS = 200_000  # more than the kernel keeps for a reader


class HelpersSas(Protocol):
    """As the helper answers."""

    @property
    def number(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def records(self) -> bytes: ...


class HelpersEvents(Protocol):
    @property
    def epoch(self) -> int: ...
    @property
    def has_missed(self) -> bool: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def records(self) -> bytes: ...


class SaHelper(Protocol):
    def sa_dump(self, reader: str, known: int) -> HelpersSas: ...
    def sa_events(self, reader: str) -> HelpersEvents: ...


class SaDump(NamedTuple):
    """policies: None where they are as last told."""

    sas: SaTable
    policies: Optional[list[Policy]]


class SaHeard(NamedTuple):
    """has_missed: events were lost, before or among these."""

    events: list[SaEvent]
    has_missed: bool


class XfrmSource:
    """reader: the one in use. Every method raises SourceError, HelperAway and HelperGone as the helper's
    verbs do; whatever went wrong, the next call says all that is true by then."""

    def __init__(self, helper: SaHelper, reader: str, counts: Counts) -> None:
        self._helper = helper
        self._wanted = self.reader = reader
        self._counts = counts
        self._decoder = DumpDecoder()
        self._known = 0
        self._epoch: Optional[int] = None
        self._events: list[SaEvent] = []  # of a hear() that failed, for the next one
        self._has_missed = False
        self._policies: Optional[list[Policy]] = None
        self._has_told_policies = False

    def start(self) -> None:
        """Choose the reader: one by which a dump succeeds."""
        failures: list[str] = []
        for reader in READERS[self._wanted]:
            self.reader = reader
            try:
                self._ask()
            except (HelperAway, HelperGone):
                raise
            except SourceError as error:
                failures.append(f"by {reader}: {error}")
                continue
            if failures:
                _logger.warning("SAs are read by the second reader reader=%s why=%r", reader, failures[0])
                self._counts.add("xfrm", "fallbacks")
            return
        raise SourceError(f"SAs cannot be read: {'; '.join(failures)}")

    def dump(self) -> SaDump:
        """All SAs, in the kernel's order."""
        sas = self._ask()
        policies = None if self._has_told_policies else self._policies
        self._has_told_policies = True
        return SaDump(sas, policies)

    def hear(self) -> SaHeard:
        """All that came since the last call."""
        try:
            for _ in range(_MOST_ANSWERS):
                if not self._hear_once():
                    break
        except (SourceError, DecodeError) as error:
            self._has_missed = True
            raise _translated(error) from error
        heard = SaHeard(self._events, self._has_missed)
        self._events, self._has_missed = [], False
        self._counts.add("xfrm", "events", len(heard.events))
        if heard.has_missed:
            self._counts.add("xfrm", "missed-events")
        return heard

    def _hear_once(self) -> bool:
        """Whether there is more."""
        answer = self._helper.sa_events(self.reader)
        self._notice(answer.epoch)
        self._has_missed |= answer.has_missed
        self._events += decode_events(answer.records)
        return answer.has_more and len(self._events) < _MOST_EVENTS

    def _ask(self) -> SaTable:
        answer = self._helper.sa_dump(self.reader, self._known)
        self._known = 0
        self._notice(answer.epoch)
        try:
            sas, policies = self._decoder.decode(answer.records)
        except DecodeError as error:
            raise _translated(error) from error
        self._known = answer.number
        if policies is not None and policies != self._policies:
            self._policies, self._has_told_policies = policies, False
        return sas

    def _notice(self, epoch: int) -> None:
        self._has_missed |= self._epoch not in (None, epoch)
        self._epoch = epoch


def _translated(error: Exception) -> Exception:
    if isinstance(error, DecodeError):
        return SourceError(f"the helper's answer about SAs cannot be read: {error}")
    return error
