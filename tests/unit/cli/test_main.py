"""The program as a shell starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint
from tests.unit.store.store_cases import batch, commit, opened

LATIN = {"PYTHONIOENCODING": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NAME = "büro-東京"


@pytest.mark.parametrize("command", [["report", "--csv", "--from", "2020-01-01"], ["line"], ["tunnels"]])
def test_a_locale_without_the_letters_of_a_name_costs_only_these(
    command: list[str], config_file: Path, tmp_path: Path
) -> None:
    config_file.write_text(config_file.read_text().replace("VPN-to-parent", NAME))
    with opened(tmp_path / "store") as store:
        key = CounterKey(NAME, Direction.IN, ObservationPoint.WIRE)
        commit(store, batch(0, Increment(key, 5000, 10)))
    done = subprocess.run(
        [sys.executable, "-m", "ipsecmon", *command, "-c", str(config_file)],
        env={**os.environ, **LATIN},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert b"b\\xfcro-\\u6771\\u4eac" in done.stdout


@pytest.mark.parametrize(
    "command", [["report", "--csv", "--month"], ["report", "--json", "--month"], ["line"], ["rules", "show"]]
)
def test_output_to_a_full_disk_is_said_in_one_line(
    command: list[str], config_file: Path, tmp_path: Path
) -> None:
    with opened(tmp_path / "store") as store:
        commit(store, batch(0))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ipsecmon", *command, "-c", str(config_file)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "ipsecmon: the output cannot be written: No space left on device\n"
