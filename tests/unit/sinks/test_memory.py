"""The test double for sinks, and the list of sinks."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from ipsecmon.errors import Unavailable
from ipsecmon.sinks import SINKS, memory

from .samples import batch


def test_it_keeps_the_last_batches() -> None:
    sink = memory.Sink(memory.Config(keep=2))
    for number in range(3):
        sink.send(batch(number))
    assert list(sink.batches) == [batch(1), batch(2)]


def test_it_fails_as_often_as_it_is_told() -> None:
    sink = memory.Sink(memory.Config())
    sink.fail_next(Unavailable("one"), Unavailable("two"))
    for text in ("one", "two"):
        with pytest.raises(Unavailable, match=text):
            sink.send(batch())
    sink.send(batch())
    assert len(sink.batches) == 1


SETTINGS: dict[str, dict[str, Any]] = {
    "influxdb": {"url": "http://127.0.0.1:8086", "database": "traffic"},
    "file": {"path": "/nonexistent/traffic.csv"},
    "memory": {},
}


@pytest.mark.parametrize("word", SINKS)
def test_every_sink_is_built_from_its_settings_without_doing_anything(word: str) -> None:
    kind = SINKS[word]
    sink = kind.build(kind.config(**SETTINGS[word], counters=("web",)))
    sink.stop()


@pytest.mark.parametrize("word", SINKS)
def test_every_setting_is_described(word: str) -> None:
    for name, field in SINKS[word].config.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize("word", SINKS)
def test_an_unknown_setting_and_an_empty_selection_are_refused(word: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        SINKS[word].config.model_validate({**SETTINGS[word], "colour": "red"})
    with pytest.raises(ValidationError, match="counters"):
        SINKS[word].config(**SETTINGS[word], counters=())


def test_looking_at_the_list_of_sinks_loads_no_http_library() -> None:
    code = (
        "import sys, ipsecmon.sinks, ipsecmon.sinks.delivery;"
        "print(sorted({'influxdb_client', 'urllib3', 'numpy'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
