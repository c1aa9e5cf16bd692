"""Giving up privileges for good (capabilities(7), prctl(2), capget(2)); by ctypes, as Python has no call."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from ipsecmon.errors import MissingCapability

__all__ = [
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "drop_all",
    "effective",
    "keep_net_admin",
    "pass_on_net_admin",
    "prctl",
]

CAP_SETPCAP = 8
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13

_CAPSET_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 2, 4
# NOROOT and NO_SETUID_FIXUP, each locked: user 0 gains nothing by executing a program
_SECUREBITS = 0b1111

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def effective(task: str = "self") -> int:
    """The effective capability set of a process or thread, as a bit mask (proc(5), CapEff)."""
    for line in Path(f"/proc/{task}/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def pass_on_net_admin() -> None:
    """Make CAP_NET_ADMIN ambient, so that a child keeps it. Raises MissingCapability."""
    if not effective() >> CAP_NET_ADMIN & 1:
        raise MissingCapability(
            "CAP_NET_ADMIN is missing: start ipsecmon as root (sudo), or as a user with that "
            "ambient capability (systemd: AmbientCapabilities=CAP_NET_ADMIN)"
        )
    if os.geteuid() != 0:  # root's children have every capability anyway
        bit = 1 << CAP_NET_ADMIN
        _set(bit, bit, bit)
        prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, CAP_NET_ADMIN)


def keep_net_admin(net_raw_too: bool = False) -> None:
    """Keep CAP_NET_ADMIN for this process and the programs it executes, and nothing else.

    net_raw_too: and CAP_NET_RAW, if it is there; the socket of iptables-legacy needs it.
    """
    kept = [CAP_NET_ADMIN]
    if net_raw_too and effective() >> CAP_NET_RAW & 1:
        kept.append(CAP_NET_RAW)
    bits = sum(1 << capability for capability in kept)
    _limit_future(*kept)
    _set(bits, bits, bits)
    for capability in kept:
        prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, capability)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_all() -> None:
    """Give up every capability, now and for whatever this process executes. Call before any thread."""
    prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    _limit_future()
    _set(0, 0, 0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    threads = [entry.name for entry in Path("/proc/self/task").iterdir()]
    if any(effective(f"self/task/{thread}") for thread in threads):
        raise MissingCapability("a thread kept its capabilities: this is an error in ipsecmon")


def _limit_future(*kept: int) -> None:
    if not effective() >> CAP_SETPCAP & 1:
        return  # no root: there is nothing that an execve could bring back
    prctl(_PR_SET_SECUREBITS, _SECUREBITS)
    for capability in range(64):
        if capability not in kept and _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            break  # EINVAL: past the last one that this kernel knows


def _set(effective_mask: int, permitted: int, inheritable: int) -> None:
    header = _Header(_CAPSET_VERSION_3, 0)
    data = (_Data * 2)(_Data(effective_mask, permitted, inheritable), _Data(0, 0, 0))
    if _libc.capset(ctypes.byref(header), data):
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")


def prctl(option: int, *arguments: int) -> int:
    """What the kernel answers. Raises OSError."""
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    answer: int = _libc.prctl(option, *padded)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")
    return answer
