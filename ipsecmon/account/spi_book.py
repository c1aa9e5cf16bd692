"""Which tunnel an SPI is of, or was of lately: header copies come after their SA has ended, too.

An SPI may be used again, and with different marks twice at once: all tunnels are told that it was of since
two settlings. Copies of one settling passed after the one before, less the time they waited in the kernel.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple, Optional

from ipsecmon.ipsec import SaId, SecurityAssociation

__all__ = ["SPIS_KEPT", "Spi", "SpiBook"]

ESP = 50
SPIS_KEPT = 65536  # as many as the matcher knows places of; a kernel with more SAs tells no more shares
_SETTLINGS_KEPT = 2


class Spi(NamedTuple):
    """destination: 16 octets, IPv4 mapped into IPv6. All ESP."""

    destination: bytes
    spi: int


class _Use(NamedTuple):
    """By one SA. ended: the settling in which it did."""

    tunnel: str
    ended: Optional[int] = None


class SpiBook:
    """open() and end() as SAs come and go, in order; settle() before each poll's.

    dropped: SAs that it had no room for.
    """

    def __init__(self) -> None:
        self._uses: dict[Spi, dict[SaId, _Use]] = {}
        self._ended: dict[Spi, int] = {}  # the last settling in which one of its SAs ended
        self._settled = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._uses)

    def open(self, sa: SecurityAssociation, tunnel: str) -> None:
        """An SA is there, or is of another tunnel from now on."""
        self._note(sa, _Use(tunnel))

    def end(self, sa: SecurityAssociation, tunnel: str) -> None:
        """It is gone. tunnel: where it was, if it was never opened."""
        spi = _spi(sa)
        known = self._uses.get(spi, {}).get(sa.id)
        if self._note(sa, _Use(known.tunnel if known else tunnel, self._settled)):
            self._ended[spi] = self._settled

    def tunnels(self, spi: Spi) -> frozenset[str]:
        """Nothing where no SA has it."""
        return frozenset(use.tunnel for use in self._uses.get(spi, {}).values())

    def settle(self) -> None:
        """A poll begins: what ended before the last two is forgotten."""
        self._settled += 1
        oldest = self._settled - _SETTLINGS_KEPT
        for spi in [spi for spi, ended in self._ended.items() if ended < oldest]:
            del self._ended[spi]
            kept = {key: use for key, use in self._uses[spi].items() if not _is_older(use, oldest)}
            if kept:
                self._uses[spi] = kept
            else:
                del self._uses[spi]

    def _note(self, sa: SecurityAssociation, use: _Use) -> bool:
        spi = _spi(sa)
        if sa.protocol != ESP or (spi not in self._uses and len(self._uses) >= SPIS_KEPT):
            self.dropped += sa.protocol == ESP
            return False
        self._uses.setdefault(spi, {})[sa.id] = use
        return True


def _is_older(use: _Use, oldest: int) -> bool:
    return use.ended is not None and use.ended < oldest


def _spi(sa: SecurityAssociation) -> Spi:
    return Spi(_packed(sa.destination), sa.spi)


@lru_cache(4096)
def _packed(address: str) -> bytes:
    found = ipaddress.ip_address(address)
    return found.packed if found.version == 6 else bytes(10) + b"\xff\xff" + found.packed
