"""What a process may still do after it gave up its privileges, and what the programs it executes may."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ipsecmon.helper.capabilities import CAP_NET_ADMIN, effective
from tests.unit.helper.conftest import require_root

NET_ADMIN = 1 << CAP_NET_ADMIN

# The five sets of proc(5), no_new_privs and prctl's securebits, of the process and of a program it executes.
PROGRAM = """
import ctypes, json, subprocess
from ipsecmon.helper.capabilities import *

def sets(text):
    lines = dict(line.split(":\\t") for line in text.splitlines() if ":\\t" in line)
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    return {name: int(lines[name], 16) for name in names}

%s
before = sets(open("/proc/self/status").read())
executed = sets(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
print(json.dumps([before, executed, ctypes.CDLL(None).prctl(27, 0, 0, 0, 0)]))
"""
NOTHING = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0, "NoNewPrivs": 1}
ONE = {**dict.fromkeys(NOTHING, NET_ADMIN), "NoNewPrivs": 1}


def run(statement: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    argv = [*prefix, sys.executable, "-c", PROGRAM % statement]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def sets_after(statement: str) -> object:
    require_root()
    done = run(statement)
    assert done.returncode == 0, done.stderr
    found: object = json.loads(done.stdout)
    return found


def test_after_dropping_all_nothing_is_left_nor_comes_back_by_executing_a_program() -> None:
    assert sets_after("drop_all()") == [NOTHING, NOTHING, 0b1111]


def test_after_keeping_one_it_is_left_alone_and_passed_on_to_programs() -> None:
    assert sets_after("keep_net_admin()") == [ONE, ONE, 0b1111]


def test_dropping_all_twice_does_no_harm() -> None:
    assert sets_after("drop_all(); drop_all()") == [NOTHING, NOTHING, 0b1111]


def test_what_was_kept_can_still_be_dropped() -> None:
    found = sets_after("keep_net_admin(); drop_all()")
    assert isinstance(found, list)
    assert [one["CapEff"] | one["CapPrm"] | one["CapAmb"] for one in found[:2]] == [0, 0]


def test_what_was_dropped_cannot_be_kept() -> None:
    require_root()
    done = run("drop_all(); keep_net_admin()")
    assert done.returncode == 1
    assert "PermissionError" in done.stderr


def test_a_thread_that_kept_its_capabilities_is_an_error() -> None:
    require_root()
    done = run(
        "import threading; stop = threading.Event(); threading.Thread(target=stop.wait).start()\n"
        "try: drop_all()\nfinally: stop.set()"
    )
    assert done.returncode == 1
    assert "MissingCapability: a thread kept its capabilities" in done.stderr


def test_without_the_capability_the_error_says_how_to_get_it() -> None:
    done = run("drop_all(); pass_on_net_admin()")
    assert done.returncode == 1
    assert "MissingCapability: CAP_NET_ADMIN is missing: start ipsecmon as root" in done.stderr


def test_an_ordinary_user_with_the_ambient_capability_passes_it_on() -> None:
    require_root("setpriv")
    user = (
        "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+net_admin --ambient-caps=+net_admin"
    )
    probe = [*user.split(), sys.executable, "-c", "import ipsecmon"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("an ordinary user may not execute this interpreter")
    done = run("pass_on_net_admin(); keep_net_admin()", *user.split())
    assert done.returncode == 0, done.stderr
    before, executed, _ = json.loads(done.stdout)
    assert before["CapEff"] == executed["CapEff"] == NET_ADMIN


def test_the_effective_set_is_read_of_any_process() -> None:
    assert effective("1") >= 0
    assert effective() == effective("self")
