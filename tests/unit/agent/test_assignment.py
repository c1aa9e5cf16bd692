"""NFLOG groups that outlive the run that handed them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecmon.agent.assignment import load_groups, plan_as_before, save_groups
from ipsecmon.agent.plan import build_plan
from ipsecmon.config import Config, parse
from ipsecmon.errors import ConfigError


def config(folder: Path, counters: str = "web 80, mail 25", more: str = "") -> Config:
    pairs = [one.split() for one in counters.split(", ")]
    written = "".join(f"  - {{name: {name}, match: {{port: {port}}}}}\n" for name, port in pairs)
    text = f"line: {{name: T1, interface: eth1}}\nstore: {{path: {folder}}}\ncounters:\n{written}{more}"
    return parse(text, "test.yaml")


def resolve(name: str) -> tuple[str, ...]:
    return ()


def groups(folder: Path, *arguments: str) -> dict[tuple[str, str], int]:
    plan = plan_as_before(config(folder, *arguments), resolve)
    return {
        (tap.name, tap.direction.value): tap.group for tap in plan.taps() if tap.observed_at.value == "wire"
    }


def test_counters_keep_their_groups_in_another_order_and_with_new_ones(tmp_path: Path) -> None:
    before = groups(tmp_path)
    save_groups(tmp_path, build_plan(config(tmp_path), resolve))
    after = groups(tmp_path, "new 1, mail 25, web 80")
    assert before.items() <= after.items()
    assert len(set(after.values())) == len(after)


def test_without_a_file_groups_are_in_the_order_of_the_config(tmp_path: Path) -> None:
    assert load_groups(tmp_path / "nowhere") == {}
    assert groups(tmp_path)["web", "in"] < groups(tmp_path)["mail", "in"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "[[]]", '[["web", "in", "wire", "x"]]', '[["web", "up", "wire", 1]]', "[" * 100_000],
)
def test_a_file_that_makes_no_sense_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    fresh = groups(tmp_path)
    (tmp_path / "groups.json").write_text(text)
    assert groups(tmp_path) == fresh


def test_groups_that_do_not_suffice_with_what_was_kept_are_handed_out_anew(tmp_path: Path) -> None:
    narrow = "nflog: {groups: 5600-5619}\n"
    save_groups(tmp_path, build_plan(config(tmp_path, "old 1, older 2", narrow), resolve))
    assert ("web", "in") in groups(tmp_path, "web 80, mail 25", narrow)


def test_a_config_that_is_wrong_is_said_whatever_was_kept(tmp_path: Path) -> None:
    save_groups(tmp_path, build_plan(config(tmp_path), resolve))
    with pytest.raises(ConfigError, match=r"nflog\.groups has too few numbers"):
        groups(tmp_path, "web 80, mail 25", "nflog: {groups: 5600-5602}\n")


def test_a_folder_that_cannot_be_written_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_groups(tmp_path / "nowhere", build_plan(config(tmp_path), resolve))
    assert "NFLOG groups are not remembered" in caplog.text
