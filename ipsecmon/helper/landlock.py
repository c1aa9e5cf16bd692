"""landlock(7): this process and its children write to no file any more (linux/landlock.h)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Union

__all__ = ["abi", "forbid_writing"]

# one number on every machine (asm-generic/unistd.h)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_WRITE_FILE = 1 << 1
# remove a folder or file; make a device, folder, file, socket, FIFO, block device or symbolic link
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
_ALWAYS = _WRITE_FILE | _REMOVE_AND_MAKE
_FILES_SINCE = {2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV}  # by the version that has it
_TCP_SINCE, _SCOPES_SINCE = 4, 6

_WRITABLE = ("/dev/null",)

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The version of this kernel's landlock; 0: it has none, or it is off. Raises OSError."""
    try:
        return _call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def forbid_writing() -> None:
    """Also TCP, and signals and abstract sockets to processes outside. Needs no_new_privs. Raises OSError."""
    version = abi()
    if not version:
        return
    files = _ALWAYS | sum(bit for since, bit in _FILES_SINCE.items() if version >= since)
    tcp = _BIND_TCP | _CONNECT_TCP if version >= _TCP_SINCE else 0
    scopes = _ABSTRACT_SOCKETS | _SIGNALS if version >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", files, tcp, scopes)  # an older kernel takes zeros past what it knows
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in _WRITABLE:
            _allow(ruleset, path, files & (_WRITE_FILE | _TRUNCATE | _IOCTL_DEV))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, parent), 0)
    finally:
        os.close(parent)


def _call(number: int, *arguments: Union[int, bytes, None]) -> int:
    padded = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    answer: int = _libc.syscall(ctypes.c_long(number), *padded)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
