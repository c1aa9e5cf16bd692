"""The reader by ip(8) on this machine's kernel, where SAs can be negotiated but carry nothing.

What the real program does not do at will, such as saying nonsense, a script does in its place: it has the
event socket that the reader waits for.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.helper import ip_xfrm_monitor, programs
from ipsecmon.helper.ip_xfrm import TextSaReader
from ipsecmon.helper.ip_xfrm_monitor import Monitor
from ipsecmon.helper.sa_reader import Heard
from ipsecmon.ipsec import SaEnd, SaFlush
from tests.netns.agent import in_namespace
from tests.netns.namespaces import Namespaces
from tests.unit.wire.xfrm_messages import recorded_events, recorded_text

# the helper has one thread when it starts ip(8); pytest may have more
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

SA = "src 192.0.2.1 dst 192.0.2.2 proto esp spi {:#x}"
ADD = "xfrm state allocspi src 192.0.2.1 dst 192.0.2.2 proto esp reqid 7 mode tunnel min {0:#x} max {0:#x}\n"
LISTENS = """#!{python} -IS
import os, socket, sys, time
own = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
own.bind((os.getpid(), 6))
{then}
sys.stdout.flush()
time.sleep(60)
"""
ENDS = "time.sleep(0.3); sys.exit()"  # when it has been seen to listen
KEY = "a5" * 20


@pytest.fixture
def router() -> Iterator[Namespaces]:
    """Its namespace is this thread's, too."""
    with Namespaces("router") as made, in_namespace(made.name("router")):
        yield made


@pytest.fixture
def reader(router: Namespaces) -> Iterator[TextSaReader]:
    made = TextSaReader()
    yield made
    made.close()


def heard_until(hear: Callable[[int], Heard], is_enough: Callable[[Heard], bool]) -> Heard:
    """All that it hears until that is enough."""
    so_far = Heard([], False, False)
    until = time.monotonic() + 20
    while not is_enough(so_far) and time.monotonic() < until:
        now = hear(1000)
        so_far = Heard(so_far.events + now.events, so_far.has_missed or now.has_missed, now.has_more)
        time.sleep(0.01)
    return so_far


def program(folder: Path, then: str) -> str:
    path = folder / "ip"
    path.write_text(LISTENS.format(python=sys.executable, then=then))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def monitor_of(router: Namespaces, tmp_path: Path) -> Iterator[Callable[[str], Monitor]]:
    """Of a script that listens, and then does what it is told."""
    made: list[Monitor] = []

    def make(then: str) -> Monitor:
        made.append(Monitor(program(tmp_path, then)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_happens_right_after_the_start_is_heard(router: Namespaces, reader: TextSaReader) -> None:
    router.ip("router", ADD.format(0x1001) + f"xfrm state delete {SA.format(0x1001)}\n")
    heard = heard_until(reader.events, lambda heard: bool(heard.events))

    (event,) = heard.events
    assert isinstance(event, SaEnd) and not event.has_expired and not heard.has_missed
    assert (event.sa.spi, event.sa.reqid, event.sa.destination) == (0x1001, 7, "192.0.2.2")


def test_an_expiry_and_a_flush_are_heard(router: Namespaces, reader: TextSaReader) -> None:
    router.sysctl("router", net__core__xfrm_acq_expires=1)
    router.ip("router", ADD.format(0x1001))
    heard = heard_until(reader.events, lambda heard: bool(heard.events))
    router.ip("router", ADD.format(0x1002) + "xfrm state flush\n")
    flushed = heard_until(reader.events, lambda heard: bool(heard.events))

    assert [isinstance(event, SaEnd) and event.has_expired for event in heard.events] == [True]
    assert flushed.events == [SaFlush(0)]


def test_events_are_told_in_parts_no_larger_than_asked_for(router: Namespaces, reader: TextSaReader) -> None:
    spis = range(0x1001, 0x1006)
    router.ip("router", "".join(map(ADD.format, spis)))
    router.ip("router", "".join(f"xfrm state delete {SA.format(spi)}\n" for spi in spis))
    parts = []

    def hear(limit: int) -> Heard:
        parts.append(reader.events(2))
        return parts[-1]

    heard = heard_until(hear, lambda heard: len(heard.events) == len(spis))
    assert [event.sa.spi for event in heard.events if isinstance(event, SaEnd)] == [*spis]
    assert max(len(part.events) for part in parts) <= 2
    assert all(len(part.events) == 2 for part in parts if part.has_more)


def test_an_sa_that_did_not_change_is_the_same_object(router: Namespaces, reader: TextSaReader) -> None:
    router.ip("router", ADD.format(0x1001) + ADD.format(0x1002))
    before = {sa.spi: sa for sa in reader.changes(False).told}
    router.ip("router", f"xfrm state delete {SA.format(0x1001)}\n{ADD.format(0x1003)}")
    after = {sa.spi: sa for sa in reader.changes(False).told}

    assert {*before} == {0x1001, 0x1002} and {*after} == {0x1002, 0x1003}
    assert after[0x1002] is before[0x1002]


def test_policies_are_told_only_when_they_changed(router: Namespaces, reader: TextSaReader) -> None:
    template = "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 7 mode tunnel"
    assert (reader.policies(), reader.policies()) == ([], None)
    router.ip("router", f"xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir out {template}\n")
    changed = reader.policies()
    assert changed is not None and [policy.templates[0].reqid for policy in changed] == [7]
    assert reader.policies() is None
    router.ip("router", "xfrm policy flush\n")
    assert (reader.policies(), reader.policies()) == ([], None)


def test_a_process_that_was_killed_is_replaced_and_events_count_as_missed_once(
    router: Namespaces, reader: TextSaReader
) -> None:
    (child,) = Path("/proc/thread-self/children").read_text().split()
    subprocess.run(["kill", "-KILL", child], check=True)
    assert heard_until(reader.events, lambda heard: heard.has_missed) == Heard([], True, False)

    router.ip("router", ADD.format(0x1001) + f"xfrm state delete {SA.format(0x1001)}\n")
    heard = heard_until(reader.events, lambda heard: bool(heard.events))
    assert (len(heard.events), heard.has_missed) == (1, False)


@pytest.mark.parametrize(
    "then",
    [
        f"print('src 192.0.2.1 dst 192.0.2.2\\n\\tproto esp reqid 0x{KEY}')",
        f"print('\\taead rfc4106(gcm(aes)) 0x{KEY} (160 bits) 128\\n' * 2000)",
        f"print('src 192.0.2.1 dst 192.0.2.2\\n' + '\\taead rfc4106(gcm(aes)) 0x{KEY} 128\\n' * 2000)",
        "print('Deleted state', end='x' * 70000)",
        "print('\\u0663' * 100)",
        ENDS,
    ],
)
def test_what_is_not_understood_or_ends_counts_as_missed(
    monitor_of: Callable[[str], Monitor], then: str, capfd: pytest.CaptureFixture[str]
) -> None:
    monitor = monitor_of(then)
    heard = heard_until(monitor.heard, lambda heard: heard.has_missed)

    assert heard.has_missed and not heard.events
    assert KEY not in "".join(capfd.readouterr())


def test_a_complaint_counts_as_missed_once_and_then_another_process_listens(
    monitor_of: Callable[[str], Monitor], tmp_path: Path
) -> None:
    first = tmp_path / "first"
    said = "time.sleep(0.3); print('netlink receive error No buffer space available (105)', file=sys.stderr)"
    monitor = monitor_of(
        f"if os.path.exists({str(first)!r}): print('Flushed state proto esp', flush=True)\n"
        f"else: open({str(first)!r}, 'x'); print('Flushed state proto ah', flush=True); {said}"
    )
    heard = heard_until(monitor.heard, lambda heard: SaFlush(50) in heard.events)

    assert heard == Heard([SaFlush(51), SaFlush(50)], True, False)


@pytest.mark.parametrize("octets", [1, 97, 4096])
def test_the_text_may_come_in_any_parts(
    monitor_of: Callable[[str], Monitor], tmp_path: Path, octets: int
) -> None:
    text = recorded_text("xfrm-monitor").replace(
        "failed 0\nUpdated", "failed 0\n\tsecurity context system_u:object_r:ipsec_spd_t:s0 \nUpdated"
    )
    (tmp_path / "text").write_text(text)
    monitor = monitor_of(
        f"text = open({str(tmp_path / 'text')!r}).read()\n"
        f"for at in range(0, len(text), {octets}): print(text[at:at + {octets}], end='', flush=True)"
    )
    events = recorded_events()
    heard = heard_until(monitor.heard, lambda heard: len(heard.events) >= len(events) or heard.has_missed)

    assert heard == Heard(events, False, False)


def test_events_that_nobody_asks_for_are_dropped_beyond_a_limit(
    monitor_of: Callable[[str], Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ip_xfrm_monitor, "EVENTS_KEPT", 3)
    monitor = monitor_of("print('Flushed state proto ah\\n' * 2 + 'Flushed state proto esp\\n' * 5, end='')")
    none_taken = heard_until(lambda _: monitor.heard(0), lambda heard: heard.has_missed)

    assert none_taken == Heard([], True, True)
    assert monitor.heard(9) == Heard([SaFlush(51), SaFlush(51), SaFlush(50)], False, False)


def test_a_program_that_may_not_listen_is_told_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "ip"
    path.write_text(f"#!/bin/sh\necho 0x{KEY} >&2\necho Cannot bind: Operation not permitted >&2\nexit 2\n")
    path.chmod(0o755)
    with pytest.raises(SourceError, match=r"^ip xfrm monitor ended: Cannot bind: Operation not permitted$"):
        Monitor(str(path))


def test_a_program_that_cannot_be_started_again_is_told_each_time(
    monitor_of: Callable[[str], Monitor], tmp_path: Path
) -> None:
    monitor = monitor_of(ENDS)
    (tmp_path / "ip").unlink()
    with pytest.raises(SourceError, match="cannot be run: No such file"):
        heard_until(monitor.heard, lambda heard: False)
    with pytest.raises(SourceError, match="cannot be run: No such file"):
        monitor.heard(1)
    program(tmp_path, "")
    assert monitor.heard(1) == Heard([], True, False)


def test_without_the_program_there_is_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_FOLDERS", ("/nowhere",))
    with pytest.raises(SourceError, match="ip is not installed"):
        TextSaReader()


def test_the_process_ends_with_a_helper_that_is_killed(router: Namespaces) -> None:
    program = (
        "from ipsecmon.helper.ip_xfrm import TextSaReader; reader = TextSaReader();"
        "print(open('/proc/thread-self/children').read(), flush=True); input()"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as helper:
        assert helper.stdout is not None
        child = Path("/proc", helper.stdout.readline().strip())
        assert b"monitor" in (child / "cmdline").read_bytes()
        helper.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while child.exists() and "Z" not in (child / "stat").read_text() and time.monotonic() < until:
        time.sleep(0.01)
    assert not child.exists() or "Z" in (child / "stat").read_text()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 0123456789", "says more than 9 octets"),
        ("exec yes", "says more than 9 octets"),
        ("exit 3", "status 3"),
        (f"echo key 0x{KEY} >&2; exit 1", "status 1"),
        (f"echo {KEY} >&2; echo Operation not permitted >&2; exit 2", "Operation not permitted"),
        ("exec sleep 60", "did not end within 1 s"),
    ],
)
def test_a_list_that_is_not_whole_is_refused(
    monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    monkeypatch.setattr(programs, "_TIMEOUT_S", 1)
    with pytest.raises(SourceError, match=reason) as refused:
        programs.read("/bin/sh", ("-c", script), 9)
    assert KEY not in str(refused.value).replace(script, "")


def test_a_list_that_is_not_understood_is_refused_at_its_place(
    reader: TextSaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recorded_text("xfrm-states").encode()
    monkeypatch.setattr(programs, "read", lambda *_: whole + b"src 192.0.2.1 dst ?\n")
    with pytest.raises(DecodeError, match="not the beginning") as refused:
        reader.changes(True)
    assert refused.value.offset == len(whole)
