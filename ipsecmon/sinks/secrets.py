"""Reads tokens and passwords, each time they are wanted, so that they can be changed in place.

No message, and no exception that one is raised from, holds any of what was read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from ipsecmon.errors import Unavailable

__all__ = ["MAX_SECRET_OCTETS", "read_secret"]

MAX_SECRET_OCTETS = 4096  # InfluxDB's tokens have 88; more is a wrong file


def read_secret(file: Optional[Path], variable: Optional[str]) -> str:
    """The secret in a file or else in an environment variable, without the white space around it."""
    if file is not None:
        return _checked(_octets(file), str(file))
    name = variable or ""
    octets = os.environb.get(name.encode())
    if octets is None:
        raise Unavailable(f"environment variable {name} is not set; set it for the agent")
    return _checked(octets, f"environment variable {name}")


def _octets(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_SECRET_OCTETS + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise Unavailable(f"{file}: {reason}; let the agent's user read it") from error


def _checked(octets: bytes, place: str) -> str:
    # http.client would refuse such a header too, but with the header in its message.
    text = octets.decode("utf-8", errors="replace").strip()
    if not text or len(octets) > MAX_SECRET_OCTETS or not text.isprintable() or "\ufffd" in text:
        raise Unavailable(f"{place}: must hold one line of printable text, the secret and nothing else")
    return text
