"""Sums in SQL that stay integers: SQLite turns one that leaves 64 bit silently into a real number.

A sum in a row that would pass MAX_NUMBER stays there. Sums over rows are taken in two halves, each of
which adds up within 64 bit however large the numbers are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["MAX_NUMBER", "NS", "added", "halves", "whole"]

NS = 10**9
MAX_NUMBER = 2**63 - 1  # SQLite's largest integer; as octets of a day, 850 Tbit/s


def added(names: Iterable[str]) -> str:
    """Assignments for DO UPDATE SET: each column and what was to be inserted."""
    return ", ".join(
        f"{name} = CASE typeof({name} + excluded.{name}) WHEN 'integer' THEN {name} + excluded.{name}"
        f" ELSE {MAX_NUMBER} END"
        for name in names
    )


def halves(names: Iterable[str]) -> str:
    """Two columns a name, for whole()."""
    return ", ".join(f"sum({name} >> 32), sum({name} & 4294967295)" for name in names)


def whole(found: Sequence[int]) -> list[int]:
    """The sums of what halves() selected."""
    return [(high << 32) + low for high, low in zip(found[::2], found[1::2])]
