"""What an InfluxDB server's answers and silences mean, for both of its write APIs.

    204                    stored
    400, 422 of InfluxDB's Rejected: some lines are refused for ever, the others are stored
    413                    for the caller, who can send less at a time
    anything else          Unavailable: nothing is lost, the batch waits

A 200 is no acknowledgement: it is what a login page or a wrong address answers. For the same
reason a 400 counts as a refusal only if InfluxDB wrote it; a proxy's does not cost any points.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Optional, Protocol

from ipsecmon.errors import Rejected, Unavailable

__all__ = ["MAX_MESSAGE_CHARACTERS", "Answer", "Transport", "check_answer", "one_line"]

MAX_MESSAGE_CHARACTERS = 300  # a 400 quotes every bad line

_DROPPED = re.compile(r"dropped=(\d{1,9})")
_UNPARSED = re.compile(r"unable to parse '")

_ADVICE: Mapping[int, str] = {
    401: "check the token or password",
    403: "check what the token or user may write to",
    404: "check the path in url and that the bucket or database exists",
    429: "it asks for fewer requests",
    503: "it is overloaded or starting",
}


@dataclass(frozen=True)
class Answer:
    """headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


class Transport(Protocol):
    """One of the write APIs, with its address and secret inside."""

    def post(self, lines: bytes) -> Answer:
        """One request. Raises Unavailable when there is no answer."""

    def close(self) -> None: ...


def check_answer(answer: Answer, url: str) -> None:
    """Return if everything is stored; raises Rejected or Unavailable."""
    if answer.status == 204:
        return
    message = _message(answer.body)
    if answer.status in (400, 422) and message is not None:
        raise Rejected(f"{url}: {one_line(message)}", _dropped(message))
    advice = _ADVICE.get(answer.status, "check that url is that of an InfluxDB server")
    if answer.status >= 500:
        advice = _ADVICE.get(answer.status, "see the server's log")
    said = f" ({one_line(message)})" if message else ""
    raise Unavailable(f"{url}: status {answer.status}{said}; {advice}", _retry_after_s(answer.headers))


def one_line(text: str) -> str:
    """The text on one line, and not too much of it; no control character of a server's gets to a terminal."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return line if len(line) <= MAX_MESSAGE_CHARACTERS else f"{line[: MAX_MESSAGE_CHARACTERS - 1]}…"


def _message(body: str) -> Optional[str]:
    """What InfluxDB says: 1.x and 3.x have it under error, 2.x under message; None: not InfluxDB."""
    try:
        said = json.loads(body)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    text = said.get("message", said.get("error"))
    return text if isinstance(text, str) else None


def _dropped(message: str) -> Optional[int]:
    numbers = _DROPPED.findall(message)
    if numbers:
        return sum(int(number) for number in numbers)
    return len(_UNPARSED.findall(message)) or None


def _retry_after_s(headers: Mapping[str, str]) -> Optional[float]:
    """RFC 9110 10.2.3: seconds or a date. A date is taken relative to the server's own clock."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        waiting = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, waiting.total_seconds())
