"""stand-in"""

from __future__ import annotations

from ipsecmon.ipsec import IkeNames


class IkeSource:
    def names(self) -> IkeNames:
        return IkeNames({}, {})
