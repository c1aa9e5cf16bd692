"""The filter's verdicts, by an interpreter of its few instructions; its numbers are the kernel's."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from ipsecmon.helper.seccomp import MACHINES, REFUSED, encode_filter

ALLOWED = 0x7FFF0000
EPERM, ENOSYS = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
ARCHS = {"x86_64": X86_64, "aarch64": AARCH64}
HEADERS = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
# clone, clone3, socket, read, execve, openat, prctl, seccomp
CALLS = {"x86_64": (56, 435, 41, 0, 59, 257, 157, 317), "aarch64": (220, 435, 198, 63, 221, 56, 167, 277)}


def verdict(machine: str, number: int, argument: int = 0, arch: int = 0) -> int:
    """As the kernel runs it (linux/seccomp.h): on struct seccomp_data."""
    data = struct.pack("<iIQQ", number, arch or ARCHS[machine], 0, argument)
    program = list(struct.iter_unpack("<HBBI", encode_filter(machine)))
    at = accumulator = 0
    while True:
        code, then, otherwise, value = program[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
            continue
        is_true = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
        at += then if is_true[code] else otherwise


@pytest.mark.parametrize("machine", MACHINES)
def test_each_refused_call_is_refused_and_every_other_goes(machine: str) -> None:
    column = MACHINES[machine].column
    refused = {numbers[column] for numbers in REFUSED.values()}
    judged = set(CALLS[machine][:3])

    for number in range(600):
        if number not in judged:
            assert verdict(machine, number) == (EPERM if number in refused else ALLOWED), number
    assert not refused & set(CALLS[machine])


@pytest.mark.parametrize("machine", MACHINES)
def test_new_processes_and_threads_go_and_new_namespaces_do_not(machine: str) -> None:
    clone, clone3 = CALLS[machine][:2]

    assert verdict(machine, clone, 17) == ALLOWED  # SIGCHLD: fork(2)
    assert verdict(machine, clone, 0x3D0F00) == ALLOWED  # of pthread_create(3)
    assert {verdict(machine, clone, 1 << bit | 17) for bit in (17, 25, 26, 27, 28, 29, 30)} == {EPERM}
    assert verdict(machine, clone3) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_of_the_families_that_are_needed(machine: str) -> None:
    socket = CALLS[machine][2]

    allowed = [family for family in range(50) if verdict(machine, socket, family) == ALLOWED]
    assert allowed == [1, 2, 10, 16]


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", I386), ("x86_64", AARCH64), ("aarch64", ARM)])
def test_a_call_by_other_numbers_is_refused_whatever_it_is(machine: str, arch: int) -> None:
    assert {verdict(machine, number, arch=arch) for number in range(600)} == {EPERM}


def test_a_call_of_the_x32_abi_is_refused() -> None:
    assert {verdict("x86_64", 0x40000000 | number) for number in range(600)} == {EPERM}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    text = Path("/usr/include", HEADERS[machine]).read_text()
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)\b", text)}

    column = MACHINES[machine].column
    known = {name: one[column] for name, one in REFUSED.items() if one[column] and name in numbers}
    assert known == {name: numbers[name] for name in known}
    assert len(known) > 50
    assert {name for name, one in REFUSED.items() if name in numbers} == set(known)
