"""Marks that people make, through a running agent; and events as JSON values, the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ipsecmon.errors import StoreError
from ipsecmon.qos import Event

__all__ = ["describe_event", "mark"]


class _Journal(Protocol):
    def mark(self, text: str, start_ns: int | None, end_ns: int | None) -> Event: ...


def mark(journal: _Journal, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to the verb `mark`: text, and start_ns and end_ns where they are not now."""
    text, start_ns, end_ns = (request.get(name) for name in ("text", "start_ns", "end_ns"))
    if not isinstance(text, str) or not text.strip() or not all(map(_is_time, (start_ns, end_ns))):
        return {"error": "mark: needs a text, and times as integers of nanoseconds since 1970"}
    try:
        return {"event": describe_event(journal.mark(text, start_ns, end_ns))}
    except StoreError as error:
        return {"error": str(error)}


def describe_event(event: Event) -> dict[str, Any]:
    """JSON values only. Keys are promised; more may come."""
    return {
        "kind": event.kind.value,
        "start_ns": event.start_ns,
        "end_ns": event.end_ns,
        "interface": event.interface,
        "count": event.count,
        "text": event.text,
    }


def _is_time(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value < 1 << 63)
