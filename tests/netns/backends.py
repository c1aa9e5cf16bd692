"""The backends that the promise is tried with: what the config says, by a name for pytest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BACKENDS", "Settings"]

Settings = Mapping[str, Any]

BACKENDS: Mapping[str, Settings] = {
    "nft": {"backend": "nft"},
    "iptables-nft": {"backend": "iptables-nft"},
    "iptables-nft-no-nfacct": {"backend": "iptables-nft", "nflog": {"nfacct": "off"}},
    "iptables-legacy": {"backend": "iptables-legacy"},
    "iptables-legacy-no-nfacct": {"backend": "iptables-legacy", "nflog": {"nfacct": "off"}},
}
