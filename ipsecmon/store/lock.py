"""One agent per folder: an exclusive flock(2), which the kernel takes back however the agent ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Optional

from ipsecmon.errors import StoreError

__all__ = ["AgentLock"]

LOCK_FILE = "agent.lock"


class AgentLock:
    """Held between acquire() and release(). The file holds the owner's pid, for the message only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: Optional[int] = None

    def acquire(self) -> None:
        # Not inherited (PEP 446), so that a child that outlives us does not hold the folder.
        descriptor = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(descriptor, 0)
            with contextlib.suppress(OSError):  # a full disk: the lock is what counts
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "unknown"
            os.close(descriptor)
            raise StoreError(f"another ipsecmon agent (pid {owner}) is using {self._folder}") from error
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """The file stays: to remove it would let two agents lock two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
