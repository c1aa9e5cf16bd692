"""rules/: each config is right, its rules are what it renders and programs take them, the README tells."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from ipsecmon.cli.main import cli
from ipsecmon.config import load
from tests.unit.helper.conftest import require_root
from tests.unit.ruleset.listings import iptables_refuse

FOLDER = Path(__file__).resolve().parents[2] / "rules"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
BACKENDS = ("nft", "iptables")
README = (FOLDER / "README.md").read_text()


def name(path: Path) -> str:
    return path.stem


def section(case: str) -> str:
    """What the README says of one case."""
    found = re.search(rf"^## {re.escape(case)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"rules/README.md has no section {case}"
    return found[1]


def test_every_case_is_a_config_with_the_rules_of_each_backend() -> None:
    for backend in BACKENDS:
        assert sorted(path.stem for path in FOLDER.glob(f"*.{backend}")) == sorted(map(name, CONFIGS))
    assert len(CONFIGS) >= 4


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_config_is_right_and_nothing_but_its_interfaces_are_missing(config: Path) -> None:
    result = CliRunner().invoke(cli, ["check", str(config)])

    assert result.exit_code == 0, result.output
    warnings = [line for line in result.output.splitlines() if line.startswith("warning")]
    assert all("there is no" in warning and "interface" in warning for warning in warnings)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_rules_are_what_the_config_renders(config: Path, backend: str) -> None:
    result = CliRunner().invoke(cli, ["rules", "show", "--backend", backend, "-c", str(config)])

    assert result.exit_code == 0, result.output
    assert result.stdout == config.with_suffix(f".{backend}").read_text(), "run: make docs"


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_nft_takes_the_rules(config: Path) -> None:
    require_root("unshare", "nft")
    command = ["unshare", "--net", "nft", "-c", "-f", str(config.with_suffix(".nft"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"])
@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_both_iptables_load_the_rules_and_save_what_they_loaded(config: Path, program: str) -> None:
    text = config.with_suffix(".iptables").read_text()
    family, other = ("4", "6") if program.startswith("iptables") else ("6", "4")
    rules = [line for line in text.splitlines() if re.match(rf"(-{family} )?-[AI]", line)]
    assert any(line.startswith(f"-{other} ") for line in text.splitlines())

    assert iptables_refuse(program, text) == ""
    require_root("unshare", program)
    argv = ["unshare", "--net", "sh", "-ec", f"{program}-restore --noflush; {program}-save"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith("-A") for line in done.stdout.splitlines()) == len(rules)


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_readme_tells_what_each_counter_is_for(config: Path) -> None:
    told = section(config.stem)
    families = set(re.findall(r"`([^`]+)`", told))

    for counter in load(config).counters:
        short = f"-{counter.name.split('-', 1)[-1]}"  # `gre-berlin`, `-lyon`
        assert {counter.name, short} & families, f"{counter.name} is not in rules/README.md"
