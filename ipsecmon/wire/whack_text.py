"""What libreswan says of its SAs: `whack --showstates`, as its versions 3 to 5 print it.

Of each established CHILD_SA two lines, the second one with its SPIs, in hexadecimal without leading zeros
(libreswan lib/libswan/ip_said.c; a colon instead of the dot before an IPv6 address's SPI):

    000 #5: "many/1x0"[1] 198.51.100.7 esp.c1474ce2@198.51.100.7 esp.611910af@203.0.113.1 tun.0@… Traffic: …

Nothing of whack tells a reqid, and `--trafficstatus` no SPI. What is not understood is passed over.
"""

from __future__ import annotations

import ipaddress
import re

from ipsecmon.ipsec import IkeNames

__all__ = ["decode_states"]

_CHILD = re.compile(r'^(?:\d{3} )?#\d+: "([^"]+)"', re.MULTILINE)
_SA = re.compile(r" (?:esp|ah)[.:]([0-9a-f]{1,8})@([0-9a-fA-F.:]+)")


def decode_states(text: str) -> IkeNames:
    """A connection of several subnets (leftsubnets=) has its alias beside the name of each pair."""
    by_spi: dict[tuple[str, int], frozenset[str]] = {}
    for line in text.splitlines():
        child = _CHILD.match(line)
        if child:
            names = frozenset((child[1], child[1].partition("/")[0]))
            for spi, address in _SA.findall(line, child.end()):
                by_spi.update(_named(address, int(spi, 16), names))
    return IkeNames(by_spi, {})


def _named(address: str, spi: int, names: frozenset[str]) -> dict[tuple[str, int], frozenset[str]]:
    try:
        return {(str(ipaddress.ip_address(address)), spi): names} if spi else {}
    except ValueError:
        return {}
