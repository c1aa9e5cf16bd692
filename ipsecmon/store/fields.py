"""Fields of a batch that is kept as JSON. What breaks their form is a TypeError or a ValueError."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Optional

__all__ = ["integer", "listed", "named_numbers", "text", "without_defaults"]


def listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def integer(value: Any) -> int:
    if type(value) is not int:  # a bool is an int too
        raise TypeError("not an integer")
    return value


def without_defaults(numbers: Sequence[Any], defaults: Sequence[Any]) -> list[Any]:
    """But for those at the end that are what they are when nothing is said."""
    kept = list(numbers)
    while kept and kept[-1] == defaults[len(kept) - 1]:
        kept.pop()
    return kept


def named_numbers(
    names: Mapping[str, Any], optional: Collection[str], numbers: Sequence[Any]
) -> dict[str, Optional[int]]:
    """names: in order. optional: those that may be null. The last ones may be missing."""
    if len(numbers) > len(names):
        raise ValueError("too many numbers")
    return {
        name: None if number is None and name in optional else integer(number)
        for name, number in zip(names, numbers)
    }
