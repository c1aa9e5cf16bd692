"""`ip -s xfrm monitor`: what happens to SAs, as ip(8) prints it.

Its text holds keys, even with `nokeys`: a thread decodes it as it comes, and of the text no more is kept
than the record that is not whole yet; none of it is in an error. The events wait, up to a limit, until they
are asked for. A process that has ended, or says what is not understood, is replaced by another one, and
what happened in between counts as missed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import IO, Callable, Optional

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.helper import programs
from ipsecmon.helper.sa_reader import Heard
from ipsecmon.ipsec import SaEvent
from ipsecmon.wire.ip_xfrm_text import pull_events
from ipsecmon.wire.xfrm_request import EVENT_GROUPS, NETLINK_XFRM

__all__ = ["EVENTS_KEPT", "Monitor"]

EVENTS_KEPT = 20_000  # about 30 MB: 500 rekeys a second, not asked for 10 s
_PIPE_OCTETS = 1 << 20  # /proc/sys/fs/pipe-max-size, for who has no CAP_SYS_RESOURCE
_MOST_PENDING = 1 << 16  # a record takes about 1 kB, with the longest window of ESN 6 kB
_ARGUMENTS = ("-s", "xfrm", "monitor", "nokeys", "SA", "expire")
_READ = 1 << 16  # octets
_START_S = 10.0
_LOOK_S = 0.01
_F_SETPIPE_SZ, _PR_SET_PDEATHSIG = 1031, 1
_REST = re.compile(r"(?:[ \t][^\n]*\n)+")  # lines of a record that was whole without them

_libc = ctypes.CDLL(None)


class Monitor:
    """Listens when it has been made. Raises SourceError where ip(8) does not."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._heard: deque[SaEvent] = deque()
        self._has_missed = False
        self._lock = threading.Lock()
        self._listening: Optional[_Listening] = self._listen()

    def heard(self, limit: int) -> Heard:
        """What has come so far. Raises SourceError where another process was needed and does not listen."""
        if self._listening is None or self._listening.has_ended():
            self.close()
            self._has_missed = True
            self._listening = self._listen()
        with self._lock:
            events = [self._heard.popleft() for _ in range(min(limit, len(self._heard)))]
            has_missed, self._has_missed = self._has_missed, False
            return Heard(events, has_missed, bool(self._heard))

    def close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    def _listen(self) -> _Listening:
        return _Listening(self._program, self._take, self._miss)

    def _take(self, events: list[SaEvent]) -> None:
        with self._lock:
            room = EVENTS_KEPT - len(self._heard)
            self._heard.extend(islice(events, room))
            self._has_missed = self._has_missed or len(events) > room

    def _miss(self) -> None:
        with self._lock:
            self._has_missed = True


class _Listening:
    """One process, and the thread that reads it. The process ends with the thread that made this."""

    def __init__(self, program: str, take: Callable[[list[SaEvent]], None], miss: Callable[[], None]) -> None:
        self._take = take
        self._miss = miss
        self._process = _start(program)
        self._thread = threading.Thread(target=self._read, name="ip-xfrm-monitor", daemon=True)
        try:
            _wait_until_it_listens(self._process)
            self._thread.start()
        except BaseException:
            self.close()
            raise

    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        self._process.kill()
        if self._thread.ident is not None:
            self._thread.join()
        self._process.wait()
        for pipe in _pipes(self._process):
            pipe.close()

    def _read(self) -> None:
        """Until the process has ended, or says what is not understood."""
        stdout, stderr = _pipes(self._process)
        pending = ""
        with selectors.DefaultSelector() as ready, contextlib.suppress(DecodeError):
            ready.register(stdout, selectors.EVENT_READ)
            ready.register(stderr, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    octets = os.read(key.fd, _READ)
                    if not octets and key.fileobj is stdout:
                        return
                    if not octets:
                        ready.unregister(stderr)
                    elif key.fileobj is stderr:  # such as "netlink receive error": events were lost
                        self._miss()
                    else:
                        pending = self._pull(pending + octets.decode("ascii", "replace"))

    def _pull(self, text: str) -> str:
        """What is left of the text: a record that is not whole. Raises DecodeError."""
        rest = _REST.match(text)
        text = text[rest.end() :] if rest else text
        events, pulled = pull_events(text)
        self._take(events)
        if len(text) - pulled > _MOST_PENDING:
            raise DecodeError("record too long", 0)
        return text[pulled:]


def _start(program: str) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    try:
        process = subprocess.Popen(
            [program, *_ARGUMENTS],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=programs.PLAIN,
            preexec_fn=lambda: _end_with(parent),  # noqa: PLW1509  # one thread: the last reader has ended
        )
    except OSError as error:
        raise SourceError(f"{program} cannot be run: {error.strerror}") from error
    with contextlib.suppress(OSError):  # a smaller pipe makes it wait for us sooner, and lose events sooner
        fcntl.fcntl(_pipes(process)[0], _F_SETPIPE_SZ, _PIPE_OCTETS)
    return process


def _end_with(parent: int) -> None:
    """In the child: it is killed when the parent ends, however that ends (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def _wait_until_it_listens(process: subprocess.Popen[bytes]) -> None:
    """ip(8) does not say so; its socket's groups do. Raises SourceError where it ends before."""
    until = time.monotonic() + _START_S
    while not _listens(process.pid):
        if process.poll() is not None:
            why = programs.complaint(_pipes(process)[1].read())
            raise SourceError(f"ip xfrm monitor ended: {why or f'status {process.returncode}'}")
        if time.monotonic() > until:
            raise SourceError(f"ip xfrm monitor did not listen within {_START_S:.0f} s")
        time.sleep(_LOOK_S)


def _listens(pid: int) -> bool:
    """Columns: socket, protocol, port (its pid), groups, …"""
    for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]:
        _, protocol, port, groups = line.split()[:4]
        if int(protocol) == NETLINK_XFRM and int(port) == pid:
            return int(groups, 16) & EVENT_GROUPS == EVENT_GROUPS
    return False


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Its stdout and stderr."""
    assert process.stdout is not None and process.stderr is not None
    return process.stdout, process.stderr
