"""The form of what reads SAs in the helper: by netlink, or by ip(8)."""

from __future__ import annotations

from typing import NamedTuple, Optional, Protocol

from ipsecmon.ipsec import Policy, SaEvent
from ipsecmon.wire.sa_changes import Changes

__all__ = ["Heard", "SaReader"]


class Heard(NamedTuple):
    """has_missed: something happened that no event tells of. has_more: ask again at once."""

    events: list[SaEvent]
    has_missed: bool
    has_more: bool


class SaReader(Protocol):
    """Listens to events from its making on. Raises OSError, SourceError or DecodeError."""

    def changes(self, is_known: bool) -> Changes:
        """What is other than the last time that did not fail; all there is where that is not known."""
        ...

    def policies(self) -> Optional[list[Policy]]:
        """All there are; None where they are as last told."""
        ...

    def events(self, limit: int) -> Heard:
        """What happened since it was last asked. Never waits for something to happen."""
        ...

    def close(self) -> None: ...
