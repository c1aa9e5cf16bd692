"""docs/series.md names everything that is counted and written, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from ipsecmon.account.partition import TERMS
from ipsecmon.agent.doctor import KINDS
from ipsecmon.model import LINE_TERMS
from ipsecmon.sinks import queue_points
from ipsecmon.sinks.layer_points import LAYER_FIELDS
from ipsecmon.sinks.points import AGREEMENT_FIELDS, METER_FIELDS
from ipsecmon.sinks.tunnel_points import EVENT_KINDS, NUMBERS, OPTIONAL_NUMBERS
from ipsecmon.wire.packet import ODD_KINDS

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "series.md").read_text()
_COUNTED = re.compile(r"""(?:counts\.add|SelfMeasurement)\(\s*"([a-z]+)",\s*"([a-z-]+)\"""")


def counted() -> set[tuple[str, str]]:
    sources = (ROOT / "ipsecmon").rglob("*.py")
    found = {pair for source in sources for pair in _COUNTED.findall(source.read_text())}
    return found | {("nflog", kind) for kind in ODD_KINDS} | {("doctor", kind) for kind in KINDS}


def documented() -> set[tuple[str, str]]:
    return set(re.findall(r"^\| `([a-z]+)` \| `([a-z-]+)` \|", REFERENCE, re.MULTILINE))


def test_every_kind_that_is_counted_is_documented_and_no_other() -> None:
    assert counted() == documented()


def test_every_field_of_the_meters_is_documented() -> None:
    assert " ".join(METER_FIELDS) in REFERENCE


def test_every_field_of_a_layer_is_documented() -> None:
    assert " ".join(LAYER_FIELDS) in REFERENCE


def test_every_field_of_an_agreement_is_documented() -> None:
    assert " ".join(AGREEMENT_FIELDS) in REFERENCE


def test_every_number_of_a_tunnel_and_every_kind_of_event_is_documented() -> None:
    for name in (*NUMBERS, *OPTIONAL_NUMBERS, *EVENT_KINDS):
        assert f"`{name}`" in REFERENCE, name


def test_every_number_of_a_queue_and_every_kind_of_change_is_documented() -> None:
    for name in (*queue_points.NUMBERS, *queue_points.OPTIONAL_NUMBERS, *queue_points.CHANGE_KINDS):
        assert f"| `{name}` |" in REFERENCE, name


def test_every_term_of_the_line_is_documented() -> None:
    for term in LINE_TERMS:
        assert f"| `{term.value}` |" in REFERENCE, term
    line = (ROOT / "docs" / "line.md").read_text()
    for name in (*TERMS, "unexplained"):
        assert f"| `{name}` |" in line, name
