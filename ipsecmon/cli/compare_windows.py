"""Which two windows a comparison is asked for: beside an event, or two ranges. Loads no numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import click

from ipsecmon.cli.ranges import local_time, parse_moment
from ipsecmon.errors import ConfigError
from ipsecmon.qos import Event, EventKind
from ipsecmon.store import events
from ipsecmon.units import parse_duration

__all__ = ["DEFAULT_WINDOW", "LAST", "Windows", "beside_event", "two_ranges"]

LAST = "last"
DEFAULT_WINDOW = "7d"
_NS = 10**9
_NEAR_NS = 60 * _NS  # how far from the time that was written an event may be: lists show seconds
_NO_EVENT = "no event in {folder}: mark one with `ipsecmon mark`, or write --before and --after"


class Windows(NamedTuple):
    """event: between them. others: that lie in either window."""

    before: tuple[int, int]
    after: tuple[int, int]
    event: Optional[Event] = None
    others: Sequence[Event] = ()


def beside_event(folder: Path, which: str, window: str, now_ns: int) -> Windows:
    """which: LAST, or when it began. Raises click.BadParameter, ConfigError, StoreError."""
    length_ns = _duration_ns(window)
    at_ns = None if which == LAST else parse_moment("--event", which)
    event = _newest(folder, now_ns) if at_ns is None else _nearest(folder, at_ns)
    before = (max(0, event.start_ns - length_ns), event.start_ns)
    after = (event.end_ns, min(now_ns, event.end_ns + length_ns))
    others = [one for one in events(folder, before[0], after[1]) if one != event]
    return Windows(before, after, event, others)


def two_ranges(folder: Path, before: str, after: str, now_ns: int) -> Windows:
    """Each FROM..TO. Raises click.BadParameter, StoreError."""
    ranges = [_range(option, text, now_ns) for option, text in (("--before", before), ("--after", after))]
    if ranges[0][1] > ranges[1][0]:
        raise click.BadParameter("must not begin before --before ends", param_hint="--after")
    others = [one for start_ns, end_ns in ranges for one in events(folder, start_ns, end_ns)]
    return Windows(ranges[0], ranges[1], others=list(dict.fromkeys(others)))


def _newest(folder: Path, now_ns: int) -> Event:
    """What somebody changed, or marked: not what was put back."""
    found = [one for one in events(folder, 0, now_ns) if one.kind is not EventKind.RULES_REPAIRED]
    if not found:
        raise ConfigError(f"--event {LAST}: {_NO_EVENT.format(folder=folder)}")
    return max(found, key=lambda one: one.start_ns)


def _nearest(folder: Path, at_ns: int) -> Event:
    found = events(folder, at_ns - _NEAR_NS, at_ns + _NEAR_NS)
    near = [one for one in found if abs(one.start_ns - at_ns) <= _NEAR_NS]
    if not near:
        raise ConfigError(f"no event at {local_time(at_ns)}: `ipsecmon events` lists them")
    return min(near, key=lambda one: abs(one.start_ns - at_ns))


def _duration_ns(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is {error}", param_hint="--window") from error
    if seconds < 1:
        raise click.BadParameter("must be 1s or more", param_hint="--window")
    return seconds * _NS


def _range(option: str, text: str, now_ns: int) -> tuple[int, int]:
    from_, dots, to = text.partition("..")
    if not dots or not from_:
        raise click.BadParameter(
            f"{text!r} is not a range: write FROM..TO, such as 2026-11-16..2026-11-22T14:30",
            param_hint=option,
        )
    start_ns = parse_moment(option, from_)
    end_ns = parse_moment(option, to) if to else now_ns
    if start_ns >= min(end_ns, now_ns):
        raise click.BadParameter(f"{text!r} ends before it begins, or is in the future", param_hint=option)
    return start_ns, min(end_ns, now_ns)
