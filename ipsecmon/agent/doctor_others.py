"""What programs that read NFLOG too ask the kernel for, by their config files: pmacct's uacctd.

The kernel tells a group's owner, copy range and timeout, and nobody its buffer size (nfnetlink_log.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ipsecmon.agent.doctor_facts import BufferWish

__all__ = ["read_wishes"]

_PLACES = ("/etc/pmacct/uacctd.conf", "/etc/uacctd.conf", "/run/pmacct/uacctd.conf")
_PROC = Path("/proc")
_SIZE = re.compile(r"^\s*uacctd_nl_size(?:\[[^\]]*\])?\s*:\s*(\d+)", re.MULTILINE)


def read_wishes(places: Iterable[str] = _PLACES, proc: Path = _PROC) -> list[BufferWish]:
    """Of the files that uacctd was started with or is usually started with. Raises OSError."""
    files = dict.fromkeys([*places, *(file for file in _started_with(proc))])
    return [BufferWish(file, int(size)) for file in files for size in _SIZE.findall(_text(Path(file)))]


def _started_with(proc: Path) -> Iterator[str]:
    for name in proc.glob("[0-9]*/comm"):
        words = _text(name.with_name("cmdline")).split("\0") if _text(name) == "uacctd\n" else []
        yield from _file_of(words)


def _file_of(words: Sequence[str]) -> Iterator[str]:
    """uacctd -f FILE; a relative one cannot be told."""
    for flag, file in zip(words, words[1:]):
        if flag == "-f" and file.startswith("/"):
            yield file


def _text(file: Path) -> str:
    """Nothing where there is no such file, or the process has ended."""
    try:
        return file.read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
