"""ipsecmon: IPsec-aware traffic accounting for Linux routers."""

from __future__ import annotations

__version__ = "0.1.0"
