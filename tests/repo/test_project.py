"""Promises about the files of the project as such."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import ipsecmon

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "ipsecmon").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SCRIPTS = sorted(
    path
    for folder in ("scripts", ".ci", "tests/guest")
    for path in (ROOT / folder).iterdir()
    if path.is_file() and not path.suffix
)
LINES = {"ipsecmon": 400, "tests": 600}
NEWEST_HEADING = re.compile(r"^## \[?v?(\d+\.\d+\.\d+)", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_version_is_the_newest_in_the_changelog() -> None:
    newest = NEWEST_HEADING.search((ROOT / "CHANGELOG.md").read_text())
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    assert newest and declared
    assert newest[1] == declared[1] == ipsecmon.__version__


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name)
def test_a_module_begins_with_its_docstring_and_postponed_annotations(path: Path) -> None:
    body = ast.parse(path.read_text()).body

    assert ast.get_docstring(ast.parse(path.read_text())), "no docstring"
    assert isinstance(body[1], ast.ImportFrom) and body[1].module == "__future__"
    assert [alias.name for alias in body[1].names] == ["annotations"]


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name)
def test_a_file_has_a_readable_length(path: Path) -> None:
    limit = LINES[path.relative_to(ROOT).parts[0]]

    assert len(path.read_text().splitlines()) <= limit, "would two files with good names tell more?"


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_can_be_run_and_parsed(path: Path) -> None:
    assert os.access(path, os.X_OK)
    assert re.match(r"#!/bin/(bash|busybox sh)\n# ", path.read_text())
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_every_make_target_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`?make ([a-z-]+)`?", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"run", "test"} <= targets
    assert named <= targets


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_makefile_knows_each_part_of_make_test() -> None:
    parts = re.search(r"^PARTS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert parts
    for part in parts[1].split():
        subprocess.run(["make", "-n", part], cwd=ROOT, check=True, capture_output=True)
