"""The command around the loader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from ipsecmon.cli.check import check_command
from ipsecmon.config import json_schema
from ipsecmon.config.reference import EXAMPLE

RUN = "from ipsecmon.cli.check import check_command; check_command()"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", RUN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_shipped_example_is_right() -> None:
    result = CliRunner().invoke(check_command, [str(EXAMPLE)])
    assert result.exit_code == 0
    assert result.output.startswith(
        f"{EXAMPLE}: ok\n  router    hq-gw1, every 10 s\n  line      T1 on eth1, in "
    )


def test_the_schema_is_printed_as_json() -> None:
    result = CliRunner().invoke(check_command, ["--schema"])
    assert json.loads(result.output) == json_schema()


def test_a_file_or_the_schema_must_be_asked_for() -> None:
    assert CliRunner().invoke(check_command, []).exit_code == 2


def test_problems_go_to_standard_error_and_nothing_to_standard_output(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("line: {name: T1}\ncolour: blue\n", encoding="utf-8")
    ended = run(str(path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert [line.partition(" ")[0] for line in ended.stderr.splitlines()] == [f"{path}:1:", f"{path}:2:"]


def test_checking_loads_neither_numpy_nor_what_sinks_need() -> None:
    heavy = ["numpy", "influxdb_client", "urllib3", "pyroute2", "rich"]
    program = f"import sys, ipsecmon.cli.check; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
