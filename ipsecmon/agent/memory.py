"""Memory that is freed stays with the process: each round's columns take it again without page faults.

glibc gives large blocks back to the kernel when they are freed, and the kernel then clears each page anew.
"""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 32 << 20  # octets, the most that glibc takes for the second on 64 bits; a round's columns need less


def keep_freed_memory() -> None:
    """Does nothing where the C library is another one."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
        libc.mallopt(parameter, _KEPT)
