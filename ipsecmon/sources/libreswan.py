"""libreswan's names of SAs, by its own program: `whack --showstates`, which changes nothing.

Its socket speaks C structures of one version each, so that the program must be the daemon's own.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import time
from collections.abc import Iterator

from ipsecmon.errors import SourceError
from ipsecmon.ipsec import IkeNames
from ipsecmon.wire.whack_text import decode_states

__all__ = ["PROGRAMS", "read_libreswan"]

PROGRAMS = tuple(
    f"{folder}/ipsec/whack"
    for folder in ("/usr/libexec", "/usr/lib", "/usr/local/libexec", "/usr/local/lib", "/usr/lib64")
)
MAX_READ = 16 << 20  # octets; a CHILD_SA takes about 300


def read_libreswan(path: str, deadline: float, programs: tuple[str, ...] = PROGRAMS) -> IkeNames:
    """path: of pluto's control socket. deadline: by the monotonic clock, in seconds.

    Raises OSError and SourceError.
    """
    if not os.access(path, os.W_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    program = next((one for one in programs if os.access(one, os.X_OK)), None)
    if program is None:
        raise SourceError("libreswan's program whack is not where it should be")
    argv = [program, "--ctlsocket", path, "--showstates"]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"LC_ALL": "C"}
    ) as process:
        try:
            assert process.stdout is not None
            text = b"".join(_output(process.stdout.fileno(), deadline))
            status = process.wait(max(0.001, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise TimeoutError("timed out") from error
        finally:
            process.kill()
    if status:
        raise SourceError(f"whack --showstates ended with status {status}")
    return decode_states(text.decode(errors="replace"))


def _output(descriptor: int, deadline: float) -> Iterator[bytes]:
    """Until its end."""
    left = MAX_READ
    while left > 0:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError("timed out")
        received = os.read(descriptor, 1 << 16)
        if not received:
            return
        left -= len(received)
        yield received
    raise SourceError("the answer of whack is too long")
