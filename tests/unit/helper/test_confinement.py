"""What a confined process and its children may no longer do, on this kernel; how failures are told."""

from __future__ import annotations

import errno
import json
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.helper import confinement, landlock
from tests.unit.helper.conftest import require_root

# Each statement is tried, and the number of its error kept; 0 is none.
PROGRAM = """
import ctypes, json, os, socket, subprocess, sys, threading
from ipsecmon.helper import landlock
from ipsecmon.helper.capabilities import keep_net_admin
from ipsecmon.helper.confinement import confine

libc = ctypes.CDLL(None, use_errno=True)

def call(function, *arguments):
    if getattr(libc, function)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), function)

def shell(command):
    if subprocess.run(command, shell=True, capture_output=True).returncode:
        raise OSError(-1, command)

def error_of(statement):
    try:
        exec(statement)
    except OSError as error:
        return error.errno
    return 0

before = json.loads(sys.argv[1])
exec(before)
keep_net_admin()
confine()
print(json.dumps([error_of(statement) for statement in json.loads(sys.argv[2])]))
"""


def errors(*statements: str, before: str = "") -> list[int]:
    """Of statements in a confined process."""
    require_root("nft", "ip", "unshare")
    argv = ["unshare", "--net", sys.executable, "-c", PROGRAM, json.dumps(before), json.dumps(statements)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: list[int] = json.loads(done.stdout)
    return found


def test_dangerous_system_calls_are_refused() -> None:
    assert set(
        errors(
            "call('ptrace', 0, 0, 0, 0)",
            "call('unshare', 0x20000)",
            "call('unshare', 0x10000000)",
            "call('setns', 0, 0)",
            "call('mount', b'none', b'/mnt', b'tmpfs', 0, None)",
            "call('chroot', b'/')",
            "call('personality', 0)",
            "call('process_vm_readv', os.getpid(), None, 0, None, 0, 0)",
            "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
            "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
        )
    ) == {errno.EPERM}


def test_a_child_inherits_all_of_it() -> None:
    commands = ("unshare --mount true", "echo > /tmp/made", "cat /etc/passwd")
    assert errors(*(f"shell({command!r})" for command in commands)) == [-1, -1, 0]


def test_what_the_helper_needs_goes_on() -> None:
    assert not any(
        errors(
            "shell('nft list ruleset')",
            "shell('nft add table inet confined')",
            "shell('ip -s xfrm state list nokeys')",
            "shell('ip link set lo up')",
            "open('/proc/net/xfrm_stat').read() if os.path.exists('/proc/net/xfrm_stat') else None",
            "open('/dev/null', 'w').write('nothing')",
            "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12).bind((0, 0))",
            "socket.socketpair()",
            "os._exit(0) if os.fork() == 0 else os.wait()",
            "threading.Thread(target=print, args=('',), kwargs={'file': sys.stderr, 'end': ''}).start()",
        )
    )


def test_nothing_is_written_anywhere(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("as it was")
    assert landlock.abi(), "this kernel has no landlock"
    assert set(
        errors(
            f"open({str(there)!r}, 'a')",
            f"open({str(tmp_path / 'new')!r}, 'w')",
            f"os.unlink({str(there)!r})",
            f"os.rename({str(there)!r}, {str(tmp_path / 'moved')!r})",
            f"os.mkdir({str(tmp_path / 'folder')!r})",
            f"os.symlink('/etc', {str(tmp_path / 'link')!r})",
            "open('/proc/sys/net/ipv4/ip_forward', 'w')",
            "open('/run/made', 'w')",
        )
    ) == {errno.EACCES}
    assert there.read_text() == "as it was"


@pytest.mark.parametrize("version", range(1, 7))
def test_an_older_kernels_landlock_refuses_what_it_knows(version: int, tmp_path: Path) -> None:
    refused, tcp = errors(
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "socket.create_connection(('127.0.0.1', 1))",
        before=f"landlock.abi = lambda: {version}",
    )
    assert refused == errno.EACCES
    assert (tcp == errno.EACCES) is (version >= 4)


def test_the_process_says_so_of_itself_and_its_core_is_never_written() -> None:
    assert not any(
        errors(
            "assert 'Seccomp:\\t2\\n' in open('/proc/self/status')",
            "assert 'NoNewPrivs:\\t1\\n' in open('/proc/self/status')",
            "assert libc.prctl(3) == 0",
            "import resource; assert resource.getrlimit(resource.RLIMIT_CORE) in ((0, 0), (1, 1))",
        )
    )


def test_a_kernel_without_landlock_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (errno.ENOSYS, errno.EOPNOTSUPP):
        monkeypatch.setattr(landlock, "_call", refusing(code))
        assert landlock.abi() == 0
        landlock.forbid_writing()


def test_a_lock_that_fails_is_told_in_one_line_and_the_others_are_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(confinement, "prctl", lambda *_: 1)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: steps.append("cores"))
    monkeypatch.setattr(confinement, "forbid_writing", refusing(errno.EPERM))
    monkeypatch.setattr(confinement, "forbid_calls", steps.append)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    confinement.confine()

    assert steps == ["cores", "x86_64"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "lock='landlock'" in said and "Operation not permitted" in said


def test_a_machine_without_a_filter_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(confinement, "prctl", lambda *_: 1)
    monkeypatch.setattr(confinement, "_try", lambda *_: None)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    confinement.confine()

    assert capsys.readouterr().err == "the helper process: no seccomp filter for machine=riscv64\n"


def test_a_process_of_32_bits_on_a_64_bit_kernel_is_not_refused_every_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(confinement, "prctl", lambda *_: 1)
    monkeypatch.setattr(confinement, "_try", lambda what, _: print(what))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(sys, "maxsize", (1 << 31) - 1)
    confinement.confine()

    out, err = capsys.readouterr()
    assert "seccomp" not in out
    assert err == "the helper process: no seccomp filter for machine=aarch64/32\n"


def test_the_lock_file_of_iptables_is_made_before_none_can_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps: list[bool] = []
    lock = tmp_path / "xtables.lock"
    monkeypatch.setattr(confinement, "XTABLES_LOCK", str(lock))
    monkeypatch.setattr(confinement, "prctl", lambda *_: 1)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(confinement, "forbid_writing", lambda: steps.append(lock.exists()))
    monkeypatch.setattr(confinement, "forbid_calls", lambda _: None)
    confinement.confine()
    confinement.confine(legacy_too=True)

    assert steps == [False, True]


def test_confining_before_privileges_are_renounced_is_an_error() -> None:
    program = "from ipsecmon.helper.confinement import confine; confine()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "RuntimeError: confined before no_new_privs was set" in done.stderr


def refusing(code: int) -> Any:
    def refuse(*_: object) -> int:
        raise OSError(code, "Operation not permitted")

    return refuse
