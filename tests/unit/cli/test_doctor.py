"""`ipsecmon doctor`: its words, its JSON and its exit status."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from ipsecmon.agent.control import NotRunning
from ipsecmon.agent.doctor import KINDS, diagnose
from ipsecmon.cli.doctor import doctor_command, show
from ipsecmon.errors import SourceError
from tests.unit.agent.doctor_cases import AGENT, GOOD


class Asked:
    """The agent's answer to `doctor`, or what is raised instead; facts: those of the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
        self._config_file = config_file
        self.answer: dict[str, Any] = {"router": "hq", "facts": {**AGENT.__dict__}}
        self.trouble: Exception | None = None
        self.facts: dict[str, Any] = {}
        monkeypatch.setattr("ipsecmon.cli.doctor.ask", self._ask)
        monkeypatch.setattr(
            "ipsecmon.agent.doctor_machine.read_facts",
            lambda config, agent, folder: replace(GOOD, agent=agent, **self.facts),
        )

    def _ask(self, folder: Path, verb: str) -> dict[str, Any]:
        assert verb == "doctor"
        if self.trouble:
            raise self.trouble
        told: dict[str, Any] = json.loads(json.dumps(self.answer))
        return told

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(doctor_command, ["-c", str(self._config_file), *arguments])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> Asked:
    return Asked(monkeypatch, config_file)


def test_a_good_router_ends_with_0_and_says_so(asked: Asked) -> None:
    done = asked.run()

    assert done.exit_code == 0
    assert f"hq-gw1: {len(KINDS)} conditions looked for" in done.output
    assert "nothing found that makes a number false" in done.output


def test_a_risk_ends_with_1_and_says_what_it_falsifies_and_how_to_mend_it(asked: Asked) -> None:
    asked.facts = {"is_clock_synchronised": False}
    done = asked.run()

    assert done.exit_code == 1
    assert "1 risk\n" in done.output
    assert re.search(r"^risk +clock +the kernel says", done.output, re.MULTILINE)
    assert re.search(r"^ +falsifies +when something happened", done.output, re.MULTILINE)
    assert re.search(r"^ +mend +run chronyd", done.output, re.MULTILINE)
    assert "nothing found" not in done.output


def test_json_has_the_findings_and_what_was_checked(asked: Asked) -> None:
    asked.facts = {"owners": {5700: 4711}}
    done = asked.run("--json")
    told = json.loads(done.output)

    assert done.exit_code == 1
    assert told["router"] == "hq-gw1" and told["checked"] == list(KINDS)
    assert [(one["kind"], one["severity"]) for one in told["findings"]] == [("group-owner", "risk")]


@pytest.mark.parametrize("trouble", [NotRunning("no agent is running"), SourceError("not allowed to ask")])
def test_without_an_agent_to_ask_it_goes_on_with_notes(asked: Asked, trouble: Exception) -> None:
    asked.trouble = trouble
    done = asked.run()

    assert done.exit_code == 0
    kinds = "sa-offload, rules-missing, rules-reloaded, receive-buffer, group-owner, fragmentation, path-mtu"
    assert kinds in " ".join(done.output.split())
    assert "conditions looked for: 7 unknown\n" in done.output


def test_an_agent_of_another_version_is_no_agent_to_ask(asked: Asked) -> None:
    asked.answer["facts"]["humidity"] = 70
    done = asked.run()

    assert done.exit_code == 0
    assert "the running agent is of another version: restart it" in " ".join(done.output.split())


def test_a_wrong_config_ends_with_2(asked: Asked, config_file: Path) -> None:
    config_file.write_text("lines: x\n")

    assert asked.run().exit_code == 2
    assert asked.run("--nonsense").exit_code == 2


@pytest.mark.parametrize("columns", [50, 80, 200])
def test_no_line_is_wider_than_the_terminal_or_ends_in_blanks(columns: int) -> None:
    console = Console(width=columns, record=True, file=io.StringIO())
    show("hq", diagnose(replace(GOOD, is_clock_synchronised=False)), console)
    lines = console.export_text().splitlines()

    assert lines[0] == f"hq: {len(KINDS)} conditions looked for: 1 risk"
    assert all(line == line.rstrip() for line in lines)
    assert max(map(len, lines)) <= min(columns, 110)
