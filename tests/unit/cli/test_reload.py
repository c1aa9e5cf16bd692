"""`ipsecmon reload` against a real control socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
from click.testing import CliRunner, Result

from ipsecmon.agent.control import NotRunning
from ipsecmon.cli.reload import reload_command
from ipsecmon.config import ConfigErrors
from ipsecmon.errors import ConfigError, SourceError
from tests.unit.agent.test_control import Agent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    (tmp_path / "store").mkdir()
    made = Agent(tmp_path / "store")
    yield made
    made.stop()


def reload(agent: Agent, config_file: Path, running: Optional[str], answer: dict[str, Any]) -> Result:
    agent.control._verbs = {
        "status": lambda reply: reply({"config_file": running}),
        "reload": lambda reply: reply(answer),
    }
    result = agent.serve(lambda: CliRunner().invoke(reload_command, ["-c", str(config_file)]))
    assert isinstance(result, Result)
    return result


def test_it_says_what_changed(agent: Agent, config_file: Path) -> None:
    answer = {"file": str(config_file), "changed": ["counter web added", "interval: 10 s -> 5 s"]}
    result = reload(agent, config_file, str(config_file), answer)
    assert (result.exit_code, result.output.splitlines()) == (0, answer["changed"])


def test_it_says_that_nothing_changed(agent: Agent, config_file: Path) -> None:
    result = reload(agent, config_file, str(config_file), {"file": "x", "changed": []})
    assert (result.exit_code, result.output) == (0, "nothing has changed\n")


def test_a_link_to_the_file_is_the_file(agent: Agent, config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(config_file)
    assert reload(agent, tmp_path / "link.yaml", str(config_file), {"changed": []}).exit_code == 0


@pytest.mark.parametrize("running", ["/etc/ipsecmon/other.yaml", None])
def test_another_file_than_the_agents_is_refused(
    agent: Agent, config_file: Path, running: Optional[str]
) -> None:
    result = reload(agent, config_file, running, {"changed": []})
    assert isinstance(result.exception, ConfigError)
    assert f"runs with {running or 'no config file'}, not {config_file}" in str(result.exception)


def test_what_the_agent_refuses_is_the_error(agent: Agent, config_file: Path) -> None:
    result = reload(agent, config_file, str(config_file), {"error": "router is a: restart needed"})
    assert isinstance(result.exception, SourceError)
    assert str(result.exception) == "router is a: restart needed"


def test_a_wrong_file_is_said_without_asking_the_agent(config_file: Path) -> None:
    config_file.write_text(config_file.read_text().replace("router", "rooter"))
    result = CliRunner().invoke(reload_command, ["-c", str(config_file)])
    assert isinstance(result.exception, ConfigErrors) and "did you mean router?" in str(result.exception)


def test_without_an_agent_it_says_so(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert isinstance(CliRunner().invoke(reload_command, ["-c", str(config_file)]).exception, NotRunning)
