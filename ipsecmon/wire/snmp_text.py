"""/proc/net/snmp and /proc/net/dev_snmp6/INTERFACE as text: the kernel's counts of IP (proc(5)).

The first has two lines a protocol, names and numbers, each after "Ip:"; the other a name and a number a line.
"""

from __future__ import annotations

from collections.abc import Mapping

from ipsecmon.errors import DecodeError

__all__ = ["decode_snmp", "decode_snmp6"]


def decode_snmp(text: str) -> Mapping[str, int]:
    """The counters of IPv4. Raises DecodeError."""
    begin = "Ip: "
    rows = [line[len(begin) :].split() for line in text.splitlines() if line.startswith(begin)]
    if len(rows) != 2 or len(rows[0]) != len(rows[1]):
        raise DecodeError("snmp has not two lines of Ip", 0)
    return {name: _number(value) for name, value in zip(*rows)}


def decode_snmp6(text: str) -> Mapping[str, int]:
    """Raises DecodeError."""
    rows = [line.split() for line in text.splitlines()]
    if any(len(row) != 2 for row in rows):
        raise DecodeError("snmp6 has a line that is not a name and a number", 0)
    return {name: _number(value) for name, value in rows if name != "ifIndex"}


def _number(text: str) -> int:
    digits = text[1:] if text.startswith("-") else text  # Ip: DefaultTTL and others may be negative
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise DecodeError("snmp has a value that is not a number", 0)
    return int(text)
