"""What strongSwan and libreswan call the SAs that they made: names of connections, read-only.

In: strongSwan's vici socket, libreswan's control socket, where one is there. Out: IkeNames. It always comes
back within its time and without an exception: that a daemon cannot be asked is logged once, and its last
names hold until it can be again. An SA may end between two calls, and its final counters need its name: a
name is told in one more answer than the daemon has it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from ipsecmon.errors import SourceError
from ipsecmon.ipsec import IkeNames
from ipsecmon.sources.libreswan import read_libreswan
from ipsecmon.sources.strongswan import read_strongswan

__all__ = ["DAEMONS", "Daemon", "IkeSource"]

_logger = logging.getLogger(__name__)

LIMIT_S = 0.5
PAUSE = 5  # calls without asking a daemon that took all the time: it must not take it each time
_NONE = IkeNames({}, {})


class Daemon(NamedTuple):
    """paths: where its socket may be. read: (path, deadline) to names; raises OSError and SourceError."""

    name: str
    paths: Sequence[str]
    read: Callable[[str, float], IkeNames]


DAEMONS = (
    Daemon(
        "strongSwan",
        ("/run/strongswan/charon.vici", "/var/run/charon.vici", "/run/charon.vici"),
        read_strongswan,
    ),
    Daemon("libreswan", ("/run/pluto/pluto.ctl", "/var/run/pluto/pluto.ctl"), read_libreswan),
)


class IkeSource:
    """daemons: that may be here. limit_s: of one call, for all of them."""

    def __init__(self, daemons: Iterable[Daemon] = DAEMONS, limit_s: float = LIMIT_S) -> None:
        self._asked = [_Asked(daemon) for daemon in daemons]
        self._limit_s = limit_s
        self._said_none = False

    def names(self) -> IkeNames:
        """Never raises; for one thread."""
        deadline = time.monotonic() + self._limit_s
        found = [asked.names(deadline) for asked in self._asked]
        if not self._said_none and not any(asked.is_there for asked in self._asked):
            _logger.info("neither strongSwan nor libreswan is here: no names of ike connections")
            self._said_none = True
        by_reqid: dict[int, frozenset[str]] = {}
        for one in found:
            for reqid, names in one.by_reqid.items():
                by_reqid[reqid] = by_reqid.get(reqid, frozenset()) | names
        return IkeNames({key: names for one in found for key, names in one.by_spi.items()}, by_reqid)


class _Asked:
    """One daemon, and what it said last."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._last = self._before = _NONE
        self._pause = 0
        self._trouble = ""
        self.is_there = False

    def names(self, deadline: float) -> IkeNames:
        path = self._path()
        self.is_there = path is not None
        if path is None:
            self._last = self._before = _NONE
        elif self._pause:
            self._pause -= 1
        else:
            self._ask(path, deadline)
        return IkeNames({**self._before.by_spi, **self._last.by_spi}, self._last.by_reqid)

    def _path(self) -> Optional[str]:
        return next((path for path in self._daemon.paths if _exists(path)), None)

    def _ask(self, path: str, deadline: float) -> None:
        try:
            found = self._daemon.read(path, deadline)
        except (OSError, SourceError) as error:
            self._fail(_explained(error, path))
            self._pause = PAUSE if time.monotonic() >= deadline else 0
            return
        self._before, self._last = self._last, found
        if self._trouble:
            _logger.info("names of ike connections can be read again daemon=%s", self._daemon.name)
            self._trouble = ""

    def _fail(self, trouble: str) -> None:
        """Logged once for each kind of trouble."""
        if trouble != self._trouble:
            _logger.warning("no names of ike connections daemon=%s error=%s", self._daemon.name, trouble)
            self._trouble = trouble


def _explained(error: Exception, path: str) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if isinstance(error, PermissionError):
        return f"user {os.geteuid()} may not write to {path}, its owner and group may: see docs/ike-names.md"
    return f"{path}: {error.strerror or error}"


def _exists(path: str) -> bool:
    """Also where its folder may not be looked into."""
    try:
        return Path(path).exists()
    except OSError:
        return True
