"""What the privileged processes, and the programs they execute, can never do again, whoever takes them over.

Three locks that all children inherit. No core: dumps of SAs carry keys. seccomp(2): no system call that
neither we nor nft, iptables and ip need. landlock(7), as far as the kernel has it: no file is made, written
or removed, no TCP, no signal to other processes. Reading stays. A lock that cannot be set is told, and the
router is counted all the same.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
from typing import Callable

from ipsecmon.helper.capabilities import prctl
from ipsecmon.helper.landlock import forbid_writing
from ipsecmon.helper.seccomp import MACHINES, forbid_calls

__all__ = ["confine"]

XTABLES_LOCK = "/run/xtables.lock"
_PR_SET_DUMPABLE = 4
_PR_GET_NO_NEW_PRIVS = 39
# octets: too few for any file, and the one limit at which a program that takes cores is not run (core(5))
_CORE_LIMIT = 1


def confine(legacy_too: bool = False) -> None:
    """This process for good: after its capabilities were dropped, before it reads anything.

    legacy_too: iptables-legacy will be executed; its lock file cannot be made later.
    """
    if prctl(_PR_GET_NO_NEW_PRIVS) != 1:
        raise RuntimeError("confined before no_new_privs was set: this is an error in ipsecmon")
    if legacy_too:
        _try("the lock file of iptables", _make_lock)
    _try("core files", _forbid_cores)
    _try("landlock", forbid_writing)
    machine = _machine()
    if machine in MACHINES:
        _try("seccomp", lambda: forbid_calls(machine))
    else:
        _say(f"no seccomp filter for machine={machine}")


def _machine() -> str:
    """uname(2) tells the kernel's, which runs programs of 32 bits too: their calls have other numbers."""
    return platform.machine() if sys.maxsize > 1 << 32 else f"{platform.machine()}/32"


def _try(what: str, step: Callable[[], None]) -> None:
    try:
        step()
    except OSError as error:
        _say(f"goes on without a lock on itself lock={what!r} error={error}")


def _say(text: str) -> None:
    print(f"the helper process: {text}", file=sys.stderr, flush=True)


def _forbid_cores() -> None:
    prctl(_PR_SET_DUMPABLE, 0)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = _CORE_LIMIT if hard == resource.RLIM_INFINITY else min(hard, _CORE_LIMIT)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _make_lock() -> None:
    os.close(os.open(XTABLES_LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
