"""Events in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipsecmon.cli.ranges import local_span, local_time
from ipsecmon.cli.render import printable

__all__ = ["event_line"]

_LASTING_NS = 10**9  # what is shorter is a moment


def event_line(event: Mapping[str, Any]) -> str:
    """event: as describe_event() has it."""
    start_ns, end_ns = event["start_ns"], event["end_ns"]
    when = local_span(start_ns, end_ns) if end_ns - start_ns >= _LASTING_NS else local_time(start_ns)
    return f"{when}  {event['kind']}: {printable(event['text'])}"
