"""The one exception tree.

    IpsecmonError
    ├── ConfigError        the user's file or command line: ours to explain, theirs to mend
    ├── DecodeError        a message that breaks its format: reason and offset, nothing else
    ├── SourceError        the kernel or the helper refused something
    │   ├── GroupInUse     somebody else owns an NFLOG group
    │   ├── MissingCapability
    │   ├── RulesRefused   nft is missing or refused our rules
    │   ├── HelperAway     the privileged process has ended and is not back yet
    │   └── HelperGone     the privileged process has ended, and nobody starts it again
    ├── StoreError         the own history cannot be opened or written
    │   └── NewerStore     written by a later version
    └── SinkError
        ├── Unavailable    try again later: the batch stays in the spool
        └── Rejected       do not try again: the far side will never take these points

Every message is one line that says what, where and what to do.
"""

from __future__ import annotations

from typing import Optional

__all__ = [
    "ConfigError",
    "DecodeError",
    "GroupInUse",
    "HelperAway",
    "HelperGone",
    "IpsecmonError",
    "MissingCapability",
    "NewerStore",
    "Rejected",
    "RulesRefused",
    "SinkError",
    "SourceError",
    "StoreError",
    "Unavailable",
]


class IpsecmonError(Exception):
    """Whatever ipsecmon says in one line instead of a traceback."""


class ConfigError(IpsecmonError):
    """A setting, argument or file of the user's cannot be used."""


class DecodeError(IpsecmonError):
    """A message breaks its format.

    reason: a short fixed phrase. offset: octets from the start of the message.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at offset {offset}")
        self.reason = reason
        self.offset = offset


class SourceError(IpsecmonError):
    """The kernel, or the helper that asks it, refused something."""


class GroupInUse(SourceError):
    """Another process owns an NFLOG group (the kernel gives each group one owner)."""


class MissingCapability(SourceError):
    """CAP_NET_ADMIN is needed and is not there."""


class RulesRefused(SourceError):
    """The rule set could not be installed, read or removed."""


class HelperAway(SourceError):
    """The privileged helper process has ended; the next one is not there yet."""


class HelperGone(SourceError):
    """The privileged helper process has ended, and so has what would start it again."""


class StoreError(IpsecmonError):
    """The store cannot be opened, read or written."""


class NewerStore(StoreError):
    """The store was written by a later version of ipsecmon."""


class SinkError(IpsecmonError):
    """A sink did not take a batch."""


class Unavailable(SinkError):
    """Try again later. retry_after_s: what the server asked for, if it did."""

    def __init__(self, message: str, retry_after_s: Optional[float] = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Rejected(SinkError):
    """Trying again is pointless. dropped: points the server refused, if it said how many."""

    def __init__(self, message: str, dropped: Optional[int] = None) -> None:
        super().__init__(message)
        self.dropped = dropped
