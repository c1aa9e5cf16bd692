"""Standard streams whose other end has gone, or has no room.

What a stream could not get rid of Python tries to write once more at its end, and then ends with status 120.
"""

from __future__ import annotations

import os
from typing import Optional, TextIO

__all__ = ["forget", "forget_if_gone"]


def forget(stream: TextIO) -> None:
    """What is left in it, and what comes, goes nowhere."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123  # a device
        os.dup2(nowhere.fileno(), stream.fileno())


def forget_if_gone(*streams: Optional[TextIO]) -> None:
    """None: closed from the start."""
    for stream in streams:
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                forget(stream)
