"""Dumps of SAs from the kernel's datagrams to main's rows: by the helper's decoder, records, and main's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional, Protocol, Union

from ipsecmon.ipsec import Policy, SecurityAssociation
from ipsecmon.sa_table import SaTable
from ipsecmon.wire.sa_changes import compare_rows
from ipsecmon.wire.sa_dumps import DumpDecoder
from ipsecmon.wire.sa_records import encode_dump
from ipsecmon.wire.xfrm_dump import SaDumpDecoder

__all__ = ["BothEnds", "TablesOfRows", "listed"]


class BothEnds:
    def __init__(self) -> None:
        self.helpers, self.mains = SaDumpDecoder(), DumpDecoder()

    def table(self, datagrams: Iterable[Union[bytes, bytearray, memoryview]]) -> SaTable:
        return self.mains.decode(encode_dump(self.helpers.decode(datagrams), None)).sas

    def decode(self, datagrams: Iterable[Union[bytes, bytearray, memoryview]]) -> list[SecurityAssociation]:
        return list(self.table(datagrams))


class TablesOfRows:
    """The same from rows, as by the reader that has no datagrams."""

    def __init__(self) -> None:
        self._rows: Sequence[SecurityAssociation] = ()
        self._mains = DumpDecoder()

    def table(self, rows: Sequence[SecurityAssociation]) -> SaTable:
        records = encode_dump(compare_rows(rows, self._rows), None)
        self._rows = rows
        return self._mains.decode(records).sas


class _Told(Protocol):
    @property
    def sas(self) -> SaTable: ...
    @property
    def policies(self) -> Optional[list[Policy]]: ...


def listed(told: _Told) -> tuple[list[SecurityAssociation], Optional[list[Policy]]]:
    return list(told.sas), told.policies
