"""seccomp(2): system calls that are refused with EPERM from now on (linux/seccomp.h, linux/bpf_common.h).

A list of what is refused, and not of what is allowed: nft, iptables and ip of each distribution and C library
call what they like of the rest. x86_64 and aarch64; a call by another architecture's numbers is refused.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple, Optional

from ipsecmon.helper.capabilities import prctl

__all__ = ["MACHINES", "REFUSED", "encode_filter", "forbid_calls"]


class Machine(NamedTuple):
    """audit_arch: of linux/audit.h. column: of the numbers below."""

    audit_arch: int
    column: int


MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}

# x86_64, aarch64; None where that machine has no such call
REFUSED: dict[str, tuple[Optional[int], Optional[int]]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "reboot": (169, 142),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "syslog": (103, 116),
    "personality": (135, 92),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "ioperm": (173, None),
    "iopl": (172, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "_sysctl": (156, None),
}
_JUDGED = {"clone": (56, 220), "clone3": (435, 435), "socket": (41, 198)}

_X32 = 0x40000000  # x86_64: set in the number of a call by the x32 ABI
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW*
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
# offsets in struct seccomp_data; the low half of a first argument, as both machines are little-endian
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_LOAD, _RETURN = 0x20, 0x06
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def forbid_calls(machine: str) -> None:
    """For this thread and all it starts; machine: of MACHINES. Needs no_new_privs. Raises OSError."""
    program = encode_filter(machine)
    pointer = _Program(len(program) // 8, program)
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(pointer))


def encode_filter(machine: str) -> bytes:
    """Its BPF program."""
    arch, column = MACHINES[machine]
    rows = [
        _Row(_LOAD, _ARCH),
        _Row(_EQUAL, arch, otherwise="refuse"),
        _Row(_LOAD, _NUMBER),
        _Row(_AT_LEAST, _X32, then="refuse"),
    ]
    rows += [_Row(_EQUAL, numbers[column], then="refuse") for numbers in REFUSED.values() if numbers[column]]
    rows += [_Row(_EQUAL, numbers[column], then=name) for name, numbers in _JUDGED.items()]
    rows += [
        _Row(_RETURN, _ALLOW, label="allow"),
        # the C library then goes on with clone(2), whose flags can be seen
        _Row(_RETURN, _ERROR | errno.ENOSYS, label="clone3"),
        _Row(_LOAD, _FIRST_ARGUMENT, label="clone"),
        _Row(_ANY_BIT, _NEW_NAMESPACES, then="refuse", otherwise="permit"),
        _Row(_LOAD, _FIRST_ARGUMENT, label="socket"),
        *(_Row(_EQUAL, family, then="permit") for family in _FAMILIES),
        _Row(_RETURN, _ERROR | errno.EPERM, label="refuse"),
        _Row(_RETURN, _ALLOW, label="permit"),
    ]
    return b"".join(_assembled(rows))


class _Row(NamedTuple):
    """One instruction. then, otherwise: labels to jump to; nothing: the next row."""

    code: int
    value: Optional[int]
    then: str = ""
    otherwise: str = ""
    label: str = ""


def _assembled(rows: list[_Row]) -> Iterator[bytes]:
    """Jumps go forward, by the number of rows that they pass over (at most 255)."""
    places = {row.label: place for place, row in enumerate(rows) if row.label}
    for place, row in enumerate(rows):
        jumps = [places[label] - place - 1 if label else 0 for label in (row.then, row.otherwise)]
        yield struct.pack("=HBBI", row.code, *jumps, row.value)
