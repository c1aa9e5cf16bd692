"""The form of what reads SAs in the helper: by netlink, or by ip(8)."""

from __future__ import annotations

from typing import NamedTuple, Optional, Protocol

from ipsecmon.ipsec import Policy, SaEvent, SecurityAssociation

__all__ = ["Heard", "SaReader"]


class Heard(NamedTuple):
    """has_missed: something happened that no event tells of. has_more: ask again at once."""

    events: list[SaEvent]
    has_missed: bool
    has_more: bool


class SaReader(Protocol):
    """Listens to events from its making on. Raises OSError, SourceError or DecodeError."""

    def sas(self) -> list[SecurityAssociation]:
        """All there are; those that did not change are the objects of the last time where possible."""
        ...

    def policies(self) -> Optional[list[Policy]]:
        """All there are; None where they are as last told."""
        ...

    def events(self, limit: int) -> Heard:
        """What happened since it was last asked. Never waits for something to happen."""
        ...

    def close(self) -> None: ...
