"""/proc/net/xfrm_stat (Documentation/networking/xfrm_proc.rst): packets that IPsec dropped, by reason."""

from __future__ import annotations

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import XfrmErrors

__all__ = ["decode_xfrm_stat"]


def decode_xfrm_stat(text: str) -> XfrmErrors:
    """Each line is a name and a number. Raises DecodeError."""
    offset = 0
    packets = []
    for line in text.splitlines(keepends=True):
        name, _, number = line.partition("\t" if "\t" in line else " ")
        name, number = name.strip(), number.strip()
        if not name.startswith("Xfrm") or not (number.isascii() and number.isdigit()):
            raise DecodeError("line without a name and a number", offset)
        packets.append((name, int(number)))
        offset += len(line)
    return XfrmErrors(tuple(packets))
