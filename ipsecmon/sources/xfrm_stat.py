"""/proc/net/xfrm_stat of this network namespace: packets that IPsec dropped since boot, by reason."""

from __future__ import annotations

from pathlib import Path

from ipsecmon.ipsec import XfrmErrors
from ipsecmon.wire.xfrm_stat import decode_xfrm_stat

__all__ = ["read_xfrm_stat"]

_FILE = Path("/proc/self/net/xfrm_stat")


def read_xfrm_stat() -> XfrmErrors:
    """Nothing where the kernel keeps none (CONFIG_XFRM_STATISTICS). Raises DecodeError."""
    try:
        return decode_xfrm_stat(_FILE.read_text())
    except FileNotFoundError:
        return XfrmErrors(())
