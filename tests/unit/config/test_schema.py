"""The JSON Schema describes what a user writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from ipsecmon.config import ConfigErrors, json_schema, load, parse
from ipsecmon.config.document import read_document
from ipsecmon.config.reference import EXAMPLE

LINE = "line: {name: T1, interface: eth1}\n"
GOOD_CASES = sorted((Path(__file__).parent / "cases").glob("good-[mt]*/config.yaml"))


def values(text: str) -> Any:
    return read_document(text, "f").root


def accepts(text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(values(text)))


def test_the_schema_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", [EXAMPLE, *GOOD_CASES], ids=lambda path: path.parent.name)
def test_the_schema_accepts_what_the_loader_accepts(path: Path) -> None:
    load(path)
    jsonschema.validate(values(path.read_text(encoding="utf-8")), json_schema())


@pytest.mark.parametrize(
    "text",
    [
        "router: hq\n",
        LINE + "intervall: 10s\n",
        LINE + "interval: 10\n",
        LINE + "rules: sometimes\n",
        LINE + "page: {}\n",
        LINE + "sinks: [{}]\n",
        LINE + "sinks: [{memory: {}, file: {path: /x}}]\n",
        LINE + "sinks: [{elsewhere: {}}]\n",
        LINE + "counters: [{name: a}]\n",
        LINE + "counters: [{name: a, ipsec: {peer: 192.0.2.1}, match: {port: 1}}]\n",
        LINE + "counters: [{name: a, match: {port: []}}]\n",
        LINE + "counters: [{name: a, ipsec: {}}]\n",
        LINE + "counters: [{name: a, ipsec: {peer: []}}]\n",
        LINE + "counters: [{name: a, ipsec: {subnets: {local: 10.0.0.0/8}}}]\n",
        LINE + "counters: [{name: a, ipsec: {connection: 7}}]\n",
        LINE + "counters: [{name: a, ipsec: {if_id: eth0}}]\n",
        LINE + "counters: [{name: a, ipsec: {xfrm_mark: 0x10/}}]\n",
        LINE + "counters: [{name: a, ipsec: {reqid: 0}}]\n",
        LINE + "xfrm: {reader: ip}\n",
        LINE + "counters: [{name: a, match: {proto: esp}}]\n",
        LINE + "counters: [{name: a, match: {port: 70000}}]\n",
        LINE + "nflog: {groups: 0}\n",
        "line: {name: T1, interface: a/b}\n",
        "line: {name: T1, interface: a, capacity: {in: 1Mbit}}\n",
    ],
)
def test_what_the_schema_refuses_the_loader_refuses_too(text: str) -> None:
    assert not accepts(text)
    with pytest.raises(ConfigErrors):
        parse(text, "f")


def test_defaults_are_as_a_user_writes_them_and_none_is_null() -> None:
    schema = json_schema()
    assert schema["properties"]["interval"]["default"] == "10s"
    assert schema["$defs"]["Store"]["properties"]["retention"]["default"] == "400d"
    assert "null" not in json.dumps(schema)


def test_every_key_of_ours_has_a_sentence() -> None:
    schema = json_schema()
    for model in (schema, *schema["$defs"].values()):
        if model.get("maxProperties") == 1:  # the kinds of sink: each has a table of its own
            continue
        for key, value in model["properties"].items():
            assert value.get("description", "").endswith("."), key
