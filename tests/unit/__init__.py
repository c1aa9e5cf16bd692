"""Each package of ipsecmon by itself."""

from __future__ import annotations
