"""A time zone for a test, and a config beside a store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

Zone = Callable[[str], None]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    """Call it with a zone's name; the machine's own comes back after the test."""

    def change(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield change
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A line with a capacity and two counters; the store is the folder `store` beside the file."""
    file = tmp_path / "ipsecmon.yaml"
    file.write_text(
        "router: hq-gw1\n"
        "line: {name: T1, interface: wan0, capacity: {in: 2Mbit, out: 1Mbit}}\n"
        "counters:\n"
        "  - {name: web, match: {proto: tcp, port: 80}}\n"
        "  - {name: VPN-to-parent, ipsec: {peer: 198.51.100.7}}\n"
        f"store: {{path: {tmp_path / 'store'}}}\n"
    )
    return file
