"""The verbs `sa-dump READER KNOWN` and `sa-events READER`: SAs as main is told of them.

One reader at a time, opened when it is first asked for; the epoch in each answer says which opening of one
it was, so that main knows when it may have missed events. A dump tells what is other than in the last one
that was answered, and everything where KNOWN is not its number. READER and KNOWN are matched, and never used
as anything but a key and a number.
"""

from __future__ import annotations

import gc
import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Callable, Optional

from ipsecmon.errors import SourceError
from ipsecmon.helper.ip_xfrm import TextSaReader
from ipsecmon.helper.sa_reader import SaReader
from ipsecmon.helper.xfrm import NetlinkSaReader
from ipsecmon.ipsec import Policy
from ipsecmon.wire.sa_changes import Changes
from ipsecmon.wire.sa_records import MAX_SAS, encode_dump
from ipsecmon.wire.sa_rows import encode_events

__all__ = ["EVENTS_AT_ONCE", "READERS", "SaVerbs"]

EVENTS_AT_ONCE = 1000  # an answer of half a megabyte
_DUMP = re.compile(rb"sa-dump (netlink|ip-xfrm) (0|[1-9][0-9]{0,18})")
_EVENTS = re.compile(rb"sa-events (netlink|ip-xfrm)")

Answer = dict[str, Any]


READERS: Mapping[str, Callable[[], SaReader]] = MappingProxyType(
    {"netlink": NetlinkSaReader, "ip-xfrm": TextSaReader}
)


class SaVerbs:
    def __init__(self, readers: Mapping[str, Callable[[], SaReader]] = READERS) -> None:
        self._readers = readers
        self._reader: Optional[SaReader] = None
        self._name = ""
        self._epoch = 0
        self._number = secrets.randbits(40)  # numbers of an earlier helper's dumps are none of ours
        self._policies: list[Policy] = []

    def find(self, request: bytes) -> Optional[Callable[[], Answer]]:
        """What answers a request; None where it is none of these verbs."""
        dump, events = _DUMP.fullmatch(request), _EVENTS.fullmatch(request)
        if dump is not None:
            name, known = dump[1].decode(), int(dump[2])
            return lambda: self._dump(name, known)
        if events is not None:
            name = events[1].decode()
            return lambda: self._hear(name)
        return None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _dump(self, name: str, known: int) -> Answer:
        reader = self._open(name)
        gc.disable()  # many new values, none of them in a cycle: looking for these costs a quarter of all
        try:
            is_known = known == self._number
            changes = reader.changes(is_known)
            self._number += 1  # what cannot be told now is told with all the rest
            return self._told(changes, reader.policies(), is_known)
        finally:
            gc.enable()

    def _told(self, changes: Changes, policies: Optional[list[Policy]], is_known: bool) -> Answer:
        if policies is not None:
            self._policies = policies
        elif not is_known:
            policies = self._policies
        if changes.total > MAX_SAS:
            raise SourceError(f"the kernel has more than {MAX_SAS} SAs: they are not accounted")
        return {"dump": self._number, "epoch": self._epoch, "body": encode_dump(changes, policies)}

    def _hear(self, name: str) -> Answer:
        heard = self._open(name).events(EVENTS_AT_ONCE)
        told = {"epoch": self._epoch, "missed": heard.has_missed, "more": heard.has_more}
        return {**told, "body": encode_events(heard.events)}

    def _open(self, name: str) -> SaReader:
        if self._reader is None or self._name != name:
            self.close()
            self._reader, self._name = self._readers[name](), name
            self._epoch = secrets.randbits(48)
            self._policies = []
            self._number += 1  # what was answered by another one is not built upon
        return self._reader
