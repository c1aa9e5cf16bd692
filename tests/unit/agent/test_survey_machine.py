"""The machine is asked by its own tools; connections are read from a folder like /etc."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ipsecmon.agent.survey_ike import Connection
from ipsecmon.agent.survey_machine import ask_machine
from ipsecmon.errors import SourceError

pytestmark = pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip(8)")


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_connections_of_every_daemon_are_found_each_name_once(tmp_path: Path) -> None:
    write(tmp_path / "swanctl/swanctl.conf", "connections {\n a {\n remote_addrs = 198.51.100.1\n }\n}\n")
    write(tmp_path / "swanctl/conf.d/b.conf", "connections {\n b {\n remote_addrs = 198.51.100.2\n }\n}\n")
    write(tmp_path / "ipsec.conf", "conn b\n  right=198.51.100.9\nconn c\n  also=far\n  auto=add\n")
    write(tmp_path / "ipsec.d/far.conf", "conn far\n  right=198.51.100.3\n")
    answers = ask_machine("lo", tmp_path)

    assert {one.name: one.remotes for one in answers.connections} == {
        "a": ("198.51.100.1",),
        "b": ("198.51.100.2",),
        "c": ("198.51.100.3",),
        "far": ("198.51.100.3",),
    }


@pytest.fixture
def swanctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, first on the path; a test writes it."""
    program = write(tmp_path / "bin/swanctl", "")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def test_what_the_daemon_has_loaded_comes_before_what_files_say(tmp_path: Path, swanctl: Path) -> None:
    swanctl.write_text("#!/bin/sh\nprintf 'a: IKEv2, no rekeying\\n  remote: 198.51.100.1\\n'\n")
    write(tmp_path / "ipsec.conf", "conn a\n  right=198.51.100.9\n")

    assert ask_machine("lo", tmp_path).connections == (Connection("a", ("198.51.100.1",)),)


def test_a_daemon_that_may_not_be_asked_is_told(tmp_path: Path, swanctl: Path) -> None:
    failure = "connecting to 'unix:///var/run/charon.vici' failed: Permission denied"
    swanctl.write_text(f'#!/bin/sh\necho "{failure}" >&2\nexit 13\n')

    assert "connections that strongSwan has loaded: Permission denied" in ask_machine("lo", tmp_path).unread


def test_files_of_secrets_are_not_opened(tmp_path: Path) -> None:
    for name in ("ipsec.secrets", "ipsec.d/all.secrets", "swanctl/private/key.pem", "swanctl/psk/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / name)  # would block whoever opens it
    answers = ask_machine("lo", tmp_path)

    assert answers.connections == ()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "ipsec.conf").mkdir()
    answers = ask_machine("lo", tmp_path)

    assert f"connections in {tmp_path / 'ipsec.conf'}: Is a directory" in answers.unread


def test_a_host_name_of_a_connection_is_looked_up(tmp_path: Path) -> None:
    write(tmp_path / "ipsec.conf", "conn a\n  right=nowhere.invalid\n")
    answers = ask_machine("lo", tmp_path)

    assert answers.connections == (Connection("a", ("nowhere.invalid",)),)
    assert answers.resolved == {"nowhere.invalid": ()}


def test_a_line_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such interface: wan9"):
        ask_machine("wan9", tmp_path)


def test_a_machine_without_ip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecmon.agent.survey_machine._SBIN", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="ip is not installed"):
        ask_machine("lo", tmp_path)
