"""Secrets, and where they are: in files, and in what a process can read of its own memory."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

__all__ = ["forms", "found_in_files", "found_in_memory", "is_powerless"]

PIECE = 4 << 20
LONGEST = 256


def forms(secret: bytes) -> list[bytes]:
    """As it is, in hex, as Python prints it, and in base64 wherever it begins."""
    hexed = secret.hex()
    shifted = (base64.b64encode(bytes(shift) + secret) for shift in range(3))
    printed = repr(secret)[2:-1].encode()
    # what depends on the octets around it is left out
    return [secret, hexed.encode(), hexed.upper().encode(), printed, *(text[4:-4] for text in shifted)]


def found_in_files(secrets: Mapping[str, bytes], folder: Path) -> set[tuple[str, str]]:
    """(file, secret's name) for each file of the folder that holds one in any form."""
    return {
        (str(path), name)
        for path in folder.rglob("*")
        if path.is_file()
        for name in _found(secrets, _pieces(path))
    }


def found_in_memory(secrets: Mapping[str, bytes], pid: int) -> set[str]:
    """Names of those that any readable part of the process's memory holds."""
    return _found(secrets, _memory(pid))


def is_powerless(pid: int) -> bool:
    """No thread of it has a capability in effect."""
    statuses = [status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")]
    return bool(statuses) and all(re.search(r"^CapEff:\s*0+$", status, re.M) for status in statuses)


def _found(secrets: Mapping[str, bytes], pieces: Iterable[bytes]) -> set[str]:
    wanted = [(name, form) for name, secret in secrets.items() for form in forms(secret)]
    return {name for piece in pieces for name, form in wanted if form in piece}


def _pieces(path: Path) -> Iterator[bytes]:
    before = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield before + piece
            before = piece[-LONGEST:]


def _memory(pid: int) -> Iterator[bytes]:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            extent, rights = line.split()[:2]
            start, end = (int(text, 16) for text in extent.split("-"))
            if rights[0] == "r" and "[v" not in line:  # the kernel's own pages there cannot be read
                yield from _region(memory.fileno(), start, end)


def _region(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    before = b""
    for at in range(start, end, PIECE):
        piece = os.pread(descriptor, min(PIECE, end - at), at)
        if piece.strip(b"\0"):
            yield before + piece
        before = piece[-LONGEST:]
