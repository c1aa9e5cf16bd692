"""Which span of time a report is asked for: months and days in the local time zone, as people mean them.

In: the texts of the options and the time it is. Out: one Range, or one error that says what to write.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional, TypeVar

import click

from ipsecmon.units import parse_duration

__all__ = [
    "CURRENT",
    "DEFAULT_SINCE",
    "AskedRange",
    "Range",
    "chosen_range",
    "iso_time",
    "local_span",
    "local_time",
    "parse_moment",
]

CURRENT = "current"  # what --month and --day mean without a value
DEFAULT_SINCE = "1h"

_NS = 10**9
_MONTH = re.compile(r"(\d{4})-(\d\d)")
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(?:(:\d\d)(?:\.(\d{1,6}))?)? ?(Z|[+-]\d\d:\d\d)?)?", re.ASCII
)
_Parsed = TypeVar("_Parsed")
_YEARS = range(1970, 2200)  # ns since 1970 in 64 bit end in 2262


@dataclass(frozen=True)
class Range:
    """[start_ns, end_ns), wall clock, ns since 1970. title: what was asked for, in a few words."""

    start_ns: int
    end_ns: int
    title: str


def chosen_range(options: Mapping[str, Optional[str]], until: Optional[str], now_ns: int) -> Range:
    """The one range among the options that were given; the last hour without any.

    options: text by option (--month, --day, --since, --from), None where it was left out. until: of --to.
    Raises click.UsageError, which says what to write.
    """
    given = {option: text for option, text in options.items() if text is not None}
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} are two ranges: write one")
    if until is not None and "--from" not in given:
        raise click.UsageError("--to ends a range that begins with --from: write both")
    option, text = next(iter(given.items()), ("--since", DEFAULT_SINCE))
    end_ns = now_ns + 1 if until is None else _parsed("--to", until, _time)
    if option == "--from":
        found = Range(
            _parsed(option, text, _time), end_ns, f"{text} to {until}" if until else f"since {text}"
        )
    else:
        found = _parsed(option, text, lambda value: _RANGES[option](value, now_ns))
    if found.start_ns > now_ns:
        raise click.BadParameter(f"{text!r} is in the future: nothing is known of it", param_hint=option)
    if found.start_ns >= found.end_ns:
        raise click.BadParameter(f"{until!r} is not after --from {text!r}", param_hint="--to")
    return found


class AskedRange(NamedTuple):
    """What was written. options, until: as chosen_range() takes them."""

    options: Mapping[str, Optional[str]]
    until: Optional[str]

    def at(self, now_ns: int) -> Range:
        """Raises click.UsageError."""
        return chosen_range(self.options, self.until, now_ns)


def parse_moment(option: str, text: str) -> int:
    """ns since 1970 of a local time. Raises click.BadParameter, which says what to write."""
    return _parsed(option, text, _time)


def local_time(at_ns: int) -> str:
    """'2026-11-22 07:46:15 CET': this machine's time zone."""
    return f"{_moment(at_ns):%Y-%m-%d %H:%M:%S %Z}"


def iso_time(at_ns: int) -> str:
    """'2026-11-22T06:46:15.000Z': for programs, in UTC."""
    moment = datetime.datetime.fromtimestamp(at_ns / 1e9, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_span(start_ns: int, end_ns: int) -> str:
    """Two local times; the zone once, if daylight saving time did not begin or end in between."""
    start, end = _moment(start_ns), _moment(end_ns)
    if start.tzname() == end.tzname():
        return f"{start:%Y-%m-%d %H:%M:%S} to {local_time(end_ns)}"
    return f"{local_time(start_ns)} to {local_time(end_ns)}"


def _moment(at_ns: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at_ns // _NS, datetime.timezone.utc).astimezone()


def _month(text: str, now_ns: int) -> Range:
    text = f"{_moment(now_ns):%Y-%m}" if text == CURRENT else text
    matched = _MONTH.fullmatch(text)
    if not matched:
        raise ValueError("is not a month: write it as 2026-11")
    year, month = int(matched[1]), int(matched[2])
    start_ns = _midnight_ns(year, month, 1)
    return Range(start_ns, _midnight_ns(year + month // 12, month % 12 + 1, 1), text)


def _day(text: str, now_ns: int) -> Range:
    text = f"{_moment(now_ns):%Y-%m-%d}" if text == CURRENT else text
    matched = _DAY.fullmatch(text)
    if not matched:
        raise ValueError("is not a day: write it as 2026-11-22")
    start_ns = _midnight_ns(*(int(group) for group in matched.groups()))
    following = datetime.date.fromisoformat(text) + datetime.timedelta(days=1)
    return Range(start_ns, _midnight_ns(following.year, following.month, following.day), text)


def _since(text: str, now_ns: int) -> Range:
    try:
        duration_s = parse_duration(text)
    except ValueError as error:
        raise ValueError(f"is {error}") from error
    return Range(max(0, now_ns - duration_s * _NS), now_ns + 1, f"the last {text}")


def _time(text: str) -> int:
    matched = _TIME.fullmatch(text)
    if not matched:
        raise ValueError(
            "is not a time: write it as 2026-11-22 or 2026-11-22T14:30, local unless it ends with Z or +01:00"
        )
    day, minute, second, fraction, zone = matched.groups()
    offset = "+00:00" if zone == "Z" else zone or ""
    moment = datetime.datetime.fromisoformat(f"{day}T{minute or '00:00'}{second or ':00'}{offset}")
    return _ns(moment) + int((fraction or "0").ljust(9, "0"))


def _midnight_ns(year: int, month: int, day: int) -> int:
    return _ns(datetime.datetime(year, month, day))


def _ns(moment: datetime.datetime) -> int:
    """A moment without a zone is local time, as mktime(3) takes it."""
    if moment.year not in _YEARS:
        raise ValueError(f"has a year that is not from {_YEARS[0]} to {_YEARS[-1]}")
    return int(moment.timestamp()) * _NS


def _parsed(option: str, text: str, parse: Callable[[str], _Parsed]) -> _Parsed:
    try:
        return parse(text)
    except ValueError as error:
        said = str(error)
        if not said.startswith(("is ", "has ")):  # datetime's own: "month must be in 1..12"
            said = f"does not exist: {said}"
        raise click.BadParameter(f"{text!r} {said}", param_hint=option) from error


_RANGES: dict[str, Callable[[str, int], Range]] = {"--month": _month, "--day": _day, "--since": _since}
