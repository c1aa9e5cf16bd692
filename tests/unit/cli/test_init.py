"""The command around the survey."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipsecmon.config import load, parse

pytestmark = pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip(8)")


def init(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "ipsecmon", "init", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_config_is_printed_and_right() -> None:
    result = init("--line", "lo")

    assert result.returncode == 0
    assert parse(result.stdout, "printed").lines[0].interface == "lo"


def test_a_new_file_is_written_and_right(tmp_path: Path) -> None:
    file = tmp_path / "ipsecmon.yaml"
    result = init("--line", "lo", "-o", str(file))

    assert (result.returncode, result.stdout) == (0, "")
    assert f"ipsecmon check {file}" in result.stderr
    assert load(file).lines[0].interface == "lo"


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "ipsecmon.yaml"
    file.write_text("mine\n")
    result = init("--line", "lo", "-o", str(file))

    assert result.returncode == 1
    assert "stays as it is" in result.stderr
    assert file.read_text() == "mine\n"


def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    result = init("--line", "lo", "-o", str(tmp_path / "missing" / "ipsecmon.yaml"))

    assert result.returncode == 1
    assert result.stderr.endswith("cannot be written: No such file or directory\n")


def test_an_interface_that_is_not_there_is_told_in_one_line() -> None:
    result = init("--line", "wan9")

    assert result.returncode == 1
    assert result.stderr.startswith("ipsecmon: no such interface: wan9 (there are ")
