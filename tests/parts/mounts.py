"""Small, full and read-only file systems, in mounts that only this thread and what it starts can see."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "emergency_read_only",
    "fill",
    "immutable",
    "mount_ext4",
    "mount_tmpfs",
    "own_mounts",
    "remount",
    "unmount",
]

_CLONE_NEWNS = 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def own_mounts() -> Iterator[None]:
    """A mount namespace for this thread (unshare(2)); what is mounted in the block goes at its end.

    The thread keeps the namespace: there is no way back (setns(2)) once a library has started a thread.
    """
    assert _libc.unshare(_CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    _run("mount", "--make-rprivate", "/")
    before = _mounted()
    try:
        yield
    finally:
        for place in reversed([place for place in _mounted() if place not in before]):
            _run("umount", "--lazy", place)


def _mounted() -> list[str]:
    return [line.split()[1] for line in Path("/proc/thread-self/mounts").read_text().splitlines()]


def mount_tmpfs(folder: Path, octets: int) -> None:
    folder.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={octets}", "none", str(folder))


def mount_ext4(image: Path, folder: Path, octets: int = 16 << 20) -> None:
    """On a loop device; the image is made if it is missing."""
    folder.mkdir(exist_ok=True)
    if not image.exists():
        with image.open("wb") as made:
            made.truncate(octets)
        _run("mkfs.ext4", "-q", "-O", "^has_journal", str(image))
    _run("mount", "-o", "loop,errors=remount-ro", str(image), str(folder))


def remount(folder: Path, options: str) -> None:
    """Such as ro, which the kernel refuses while a file there is open for writing."""
    _run("mount", "-o", f"remount,{options}", str(folder))


def unmount(folder: Path) -> None:
    _run("umount", str(folder))


def fill(folder: Path, leave_octets: int = 0) -> Path:
    """Somebody else's file that takes all the room that there is."""
    filler = folder / "somebody-elses"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as taking:
        while taking.write(bytes(1 << 16)):
            pass
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as taking:
        while taking.write(bytes(512)):
            pass
    if leave_octets:
        os.truncate(filler, filler.stat().st_size - leave_octets)
    return filler


def emergency_read_only(folder: Path) -> None:
    """What ext4 does on a disk error: read-only at once, whatever is open (and until it is mounted anew)."""
    device = folder.stat().st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("a test\n")


@contextlib.contextmanager
def immutable(*files: Path) -> Iterator[None]:
    """The kernel refuses every write to these, through descriptors that are open too (chattr(1))."""
    there = [str(file) for file in files if file.exists()]
    _run("chattr", "+i", *there)
    try:
        yield
    finally:
        _run("chattr", "-i", *there)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
