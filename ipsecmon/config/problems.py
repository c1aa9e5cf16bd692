"""What is wrong with a user's file, one line each: where, which key, what was found, what is allowed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional, Union

__all__ = ["KeyPath", "Problem", "render_found", "render_key", "suggestion"]

KeyPath = tuple[Union[str, int], ...]

MAX_SHOWN = 60  # characters of a user's value repeated in a message: enough to find it, fits a line
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_USERINFO = re.compile(r"//[^/@]*@")


@dataclass(frozen=True)
class Problem:
    """One thing to mend. line: 1-based, None for the file as a whole; key: dotted, empty for the same."""

    file: str
    line: Optional[int]
    key: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return _one_line(": ".join(part for part in (place, self.key, self.message) if part))


def render_key(path: KeyPath) -> str:
    """'counters[2].match.port' as people write it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _PLAIN_KEY.fullmatch(part) else _shortened(json.dumps(part))
            text += f".{key}" if text else key
    return text


def render_found(value: object) -> str:
    """A user's value as YAML would show it; long ones shortened, passwords in URLs left out."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list, tuple)):
        return "a list" if isinstance(value, (list, tuple)) else "a mapping"
    if isinstance(value, bool):
        return str(value).lower()
    text = _shortened(_USERINFO.sub("//…@", str(value)))
    return f'"{text}"' if isinstance(value, str) else text


def suggestion(word: str, known: Iterable[str]) -> Optional[str]:
    """The known word that was probably meant."""
    by_folded = {name.casefold(): name for name in known}
    nearest = difflib.get_close_matches(word[:MAX_SHOWN].casefold(), list(by_folded), n=1)
    return by_folded[nearest[0]] if nearest else None


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _one_line(text: str) -> str:
    """Control characters and what a terminal cannot show become escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
