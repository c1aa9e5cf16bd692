"""docs/configuration.md is what the configuration classes say."""

from __future__ import annotations

from pathlib import Path

from ipsecmon.config.reference import EXAMPLE, render_reference
from ipsecmon.sinks import SINKS

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_configuration_reference_is_current() -> None:
    committed = DOCUMENT.read_text(encoding="utf-8")
    assert committed == render_reference(), "run: python -m ipsecmon.config.reference > docs/configuration.md"


def test_the_reference_has_every_sink_and_the_whole_example() -> None:
    text = render_reference()
    assert EXAMPLE.read_text(encoding="utf-8") in text
    for kind in SINKS:
        assert f"## `sinks.{kind}`" in text
