"""Every folder in cases/ is a file of a user's: `ipsecmon check` must say exactly what expect.txt holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ipsecmon.cli.check import check_command

CASES = sorted(path.parent for path in Path(__file__).parent.glob("cases/*/config.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_check_says_what_the_case_expects(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    result = CliRunner().invoke(check_command, ["config.yaml"])
    assert f"exit {result.exit_code}\n{result.output}" == (case / "expect.txt").read_text(encoding="utf-8")


def test_there_is_a_case_for_many_kinds_of_mistake() -> None:
    assert len(CASES) > 50


def test_no_case_lets_words_of_the_validation_library_through() -> None:
    jargon = ("Input should", "type=", "valid ", "Value error", "pydantic", "__", "…,")
    for case in CASES:
        told = (case / "expect.txt").read_text(encoding="utf-8").replace("not valid YAML", "")
        assert not [word for word in jargon if word in told], case.name
