"""Keys of a terminal as they are pressed, without Enter and without an echo.

The terminal is what it was again when the `with` is left, however that happens: by an error and by a signal
that ends programs, too. Ctrl-Z is no key meanwhile: a stopped program would leave the terminal as it is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from types import FrameType
from typing import Optional

__all__ = ["Keyboard", "keyboard"]

_VSUSP, _CC = termios.VSUSP, 6  # of the list that tcgetattr(3) is in Python: its control characters
_DISABLED = b"\0"  # _POSIX_VDISABLE on Linux
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Keyboard:
    """descriptor: of a terminal in cbreak mode."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def pressed(self, keys: str, within_s: float) -> bool:
        """Whether one of these keys is pressed, or the terminal goes away, within a time; waits that long."""
        deadline = time.monotonic() + within_s
        while True:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            octets = self._read()
            if not octets or any(key.encode() in octets for key in keys):
                return True

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, 64)
        except OSError:  # EIO: it was hung up
            return b""


@contextlib.contextmanager
def keyboard(descriptor: Optional[int] = None) -> Iterator[Keyboard]:
    """The terminal on standard input, or another one."""
    descriptor = sys.stdin.fileno() if descriptor is None else descriptor
    before = termios.tcgetattr(descriptor)
    with _signals_unwind():
        try:
            tty.setcbreak(descriptor, termios.TCSADRAIN)
            now = termios.tcgetattr(descriptor)
            now[_CC][_VSUSP] = _DISABLED
            termios.tcsetattr(descriptor, termios.TCSADRAIN, now)
            yield Keyboard(descriptor)
        finally:
            with contextlib.suppress(termios.error):  # it may have been hung up
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    """Signals that would end the program at once raise SystemExit instead."""

    def end(number: int, frame: Optional[FrameType]) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
