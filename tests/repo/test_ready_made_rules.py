"""rules/: each config is right, its rule set is what it renders, nft takes it, the README tells of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from ipsecmon.cli.main import cli
from ipsecmon.config import load
from tests.unit.helper.conftest import require_root

FOLDER = Path(__file__).resolve().parents[2] / "rules"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
README = (FOLDER / "README.md").read_text()


def name(path: Path) -> str:
    return path.stem


def section(case: str) -> str:
    """What the README says of one case."""
    found = re.search(rf"^## {re.escape(case)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"rules/README.md has no section {case}"
    return found[1]


def test_every_case_is_a_pair() -> None:
    assert sorted(path.stem for path in CONFIGS) == sorted(path.stem for path in FOLDER.glob("*.nft"))
    assert len(CONFIGS) >= 4


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_config_is_right_and_nothing_but_its_interface_is_missing(config: Path) -> None:
    result = CliRunner().invoke(cli, ["check", str(config)])

    assert result.exit_code == 0, result.output
    warnings = [line for line in result.output.splitlines() if line.startswith("warning")]
    assert all("there is no interface" in warning for warning in warnings)


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_rules_are_what_the_config_renders(config: Path) -> None:
    result = CliRunner().invoke(cli, ["rules", "show", "-c", str(config)])

    assert result.exit_code == 0, result.output
    committed = config.with_suffix(".nft").read_text()
    assert result.stdout == committed, f"ipsecmon rules show -c {config} > {config.with_suffix('.nft')}"


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_nft_takes_the_rules(config: Path) -> None:
    require_root("unshare", "nft")
    command = ["unshare", "--net", "nft", "-c", "-f", str(config.with_suffix(".nft"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_readme_tells_what_each_counter_is_for(config: Path) -> None:
    told = section(config.stem)
    families = set(re.findall(r"`([^`]+)`", told))

    for counter in load(config).counters:
        short = f"-{counter.name.split('-', 1)[-1]}"  # `gre-berlin`, `-lyon`
        assert {counter.name, short} & families, f"{counter.name} is not in rules/README.md"
