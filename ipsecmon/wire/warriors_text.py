"""Names of road warriors as a file or a program tells them: a line each, an address and its name."""

from __future__ import annotations

import ipaddress

from ipsecmon.errors import DecodeError

__all__ = ["MOST_NAMES", "decode_warriors"]

MOST_NAMES = 65_536  # more than have addresses in the pool of any concentrator
_LONGEST = 64  # characters of a name, as of a counter's


def decode_warriors(text: str) -> dict[str, str]:
    """By address; a later line goes before an earlier one. `#` begins a comment. Raises DecodeError."""
    found: dict[str, str] = {}
    offset = 0
    for line in text.splitlines(keepends=True):
        words = line.partition("#")[0].split(None, 1)
        if words:
            address, name = _pair(words, offset)
            found[address] = name
        if len(found) > MOST_NAMES:
            raise DecodeError(f"more than {MOST_NAMES} names", offset)
        offset += len(line)
    return found


def _pair(words: list[str], offset: int) -> tuple[str, str]:
    name = "".join(char for char in " ".join(words[1:]).strip() if char.isprintable())[:_LONGEST]
    try:
        address = str(ipaddress.ip_address(words[0]))
    except ValueError:
        address = ""
    if not address or not name:
        raise DecodeError("a line is not an address and a name", offset)
    return address, name
