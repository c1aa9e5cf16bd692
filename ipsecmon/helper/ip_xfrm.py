"""The second reader of SAs: `ip -s xfrm state list nokeys`, `ip xfrm policy list`, `ip -s xfrm monitor`.

Gives the same values as the netlink reader, for many times its processor time. What ip(8) does not tell:
the number of an unusual protocol in a selector that /etc/protocols has a name for (-1), and the ifindex of an
offload (it tells the name). It loses events sooner than the netlink reader, as its socket has the size that
net.core.rmem_max allows; that it did is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Optional

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.helper import programs
from ipsecmon.helper.ip_xfrm_monitor import Monitor
from ipsecmon.helper.sa_reader import Heard
from ipsecmon.ipsec import Policy, SecurityAssociation
from ipsecmon.wire.ip_xfrm_policy_text import decode_policies
from ipsecmon.wire.ip_xfrm_text import decode_states
from ipsecmon.wire.sa_changes import Changes, compare_rows, tell_all

__all__ = ["TextSaReader"]

MOST_OCTETS = 200 << 20  # of one list; an SA takes about 900, a policy 200
_DIGEST = 16  # octets: no two records of one router's life have the same


class TextSaReader:
    """Listens from its making on. Raises SourceError where ip(8) is not there, or the kernel refuses it."""

    def __init__(self) -> None:
        program = programs.find("ip")
        if program is None:
            raise SourceError("ip is not installed: reading SAs by ip xfrm needs iproute2")
        self._program = program
        self._monitor = Monitor(program)
        self._kept: dict[bytes, SecurityAssociation] = {}
        self._rows: list[SecurityAssociation] = []
        self._policies: Optional[bytes] = None

    def changes(self, is_known: bool) -> Changes:
        """Raises SourceError, DecodeError."""
        rows = self._sas()
        changes = compare_rows(rows, self._rows) if is_known else tell_all(rows)
        self._rows = rows
        return changes

    def _sas(self) -> list[SecurityAssociation]:
        """Those whose records read as in the last list are its objects."""
        rows: list[SecurityAssociation] = []
        kept: dict[bytes, SecurityAssociation] = {}
        for start, record in _records(self._read("-s", "xfrm", "state", "list", "nokeys")):
            digest = _digest(record)
            row = self._kept.get(digest) or _decode(record, start)
            kept[digest] = row
            rows.append(row)
        self._kept = kept
        return rows

    def policies(self) -> Optional[list[Policy]]:
        """None where the list reads as last time. Raises SourceError, DecodeError."""
        said = self._read("xfrm", "policy", "list")
        digest = _digest(said)
        if digest == self._policies:
            return None
        policies = decode_policies(said.decode("ascii", "replace"))
        self._policies = digest
        return policies

    def events(self, limit: int) -> Heard:
        """Raises SourceError where ip(8) had to be started again and could not be."""
        return self._monitor.heard(limit)

    def close(self) -> None:
        self._monitor.close()

    def _read(self, *arguments: str) -> bytes:
        return programs.read(self._program, arguments, MOST_OCTETS)


def _records(said: bytes) -> Iterator[tuple[int, bytes]]:
    """(where it begins, its octets) of each: a record begins in the first column."""
    start = 0
    while start < len(said):
        end = said.find(b"\ns", start) + 1 or len(said)
        yield start, said[start:end]
        start = end


def _decode(record: bytes, start: int) -> SecurityAssociation:
    try:
        (row,) = decode_states(record.decode("ascii", "replace"))
    except DecodeError as error:
        raise DecodeError(error.reason, start + error.offset) from None
    except ValueError:
        raise DecodeError("not the beginning of an SA", start) from None
    return row


def _digest(octets: bytes) -> bytes:
    return hashlib.blake2b(octets, digest_size=_DIGEST).digest()
