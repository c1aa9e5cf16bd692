"""Whether the kernel holds its clock for synchronised: adjtimex(2), asked and not set."""

from __future__ import annotations

import ctypes
import os

__all__ = ["is_clock_synchronised"]

_STA_UNSYNC = 0x40  # linux/timex.h
_PADDING = 512  # octets; struct timex has 208 on 64 bits


class _Timex(ctypes.Structure):
    """The head of struct timex. modes: what to set; 0 is nothing."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * _PADDING),
    )


def is_clock_synchronised() -> bool:
    """Raises OSError where this process may not even ask (ProtectClock= of systemd)."""
    told = _Timex(modes=0)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(told)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return not told.status & _STA_UNSYNC
