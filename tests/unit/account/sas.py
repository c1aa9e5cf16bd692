"""SAs for the tests of shares: ESP in tunnel mode, of nothing but ends and an SPI."""

from __future__ import annotations

from typing import Any

from ipsecmon.ipsec import Lifetime, SecurityAssociation

__all__ = ["esp_sa"]

_NO_LIMITS = Lifetime(None, None, None, None, None, None, None, None)


def esp_sa(spi: int, destination: str = "192.0.2.1", **changes: Any) -> SecurityAssociation:
    """Into this router, unless another destination is given."""
    plain = SecurityAssociation(
        source="198.51.100.7",
        destination=destination,
        family=10 if ":" in destination else 2,
        spi=spi,
        protocol=50,
        mode="tunnel",
        reqid=7,
        octets=0,
        packets=0,
        added_s=1000,
        used_s=None,
        late_packets=0,
        replayed_packets=0,
        integrity_failures=0,
        replay_window=32,
        flags=0,
        lifetime=_NO_LIMITS,
        selector=None,
        is_keyed=True,
    )
    return plain._replace(**changes)
