"""docs/configuration.md, written from the schema: `python -m ipsecmon.config.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ipsecmon.config.schema import json_schema

__all__ = ["EXAMPLE", "render_reference"]

EXAMPLE = Path(__file__).with_name("example.yaml")

_Schema = dict[str, Any]

_INTRODUCTION = """\
# Configuration

ipsecmon reads one YAML file. `ipsecmon check FILE` says everything that is wrong with it, with line and
key; unknown keys are refused. `ipsecmon check --schema > ipsecmon.schema.json` writes a JSON Schema, and
editors with yaml-language-server complete and check a file that begins with
`# yaml-language-server: $schema=ipsecmon.schema.json`.

How values are written:

| Kind | Written as |
|---|---|
| duration | a number and `s`, `min` (or `m`), `h`, `d` or `w`: `10s`, `5min`, `400d` |
| rate | a number and `bit`, `kbit`, `Mbit` or `Gbit` (powers of 1000, per second): `1544kbit` |
| volume | a number of octets, or one with `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`: `32MiB` |
| IP address or network | `192.0.2.7`, `10.1.5.0/24`, `"2001:db8::/32"` (in quotes inside `[…]` or `{…}`) |
| port or range | `443`, `5000-5999`; both ends are included |
| …, or a list | one value, or several in brackets: `[80, 443]` |

Words such as `on`, `off` and `no` are text; only `true` and `false` are truth values (a setting that is
true or false takes `yes` and `no` too). A key with nothing after it is refused where that could change
what is counted. The names `ike`, `esp`, `nat-t`, `ah`, `gre`, `l2tp`, `other` and `inner`
belong to the built-in parts, `unnamed` to the SAs that no counter takes. No name may hold an `@`.
"""

_TYPES = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "object": "mapping"}


def render_reference() -> str:
    """The whole document as Markdown."""
    schema = json_schema()
    sections = "".join(_section("", schema, schema["$defs"]))
    example = EXAMPLE.read_text(encoding="utf-8")
    return f"{_INTRODUCTION}{sections}\n## A complete example\n\n```yaml\n{example}```\n"


def _section(path: str, schema: _Schema, models: _Schema) -> Iterator[str]:
    """The table of one mapping, then those of the mappings in it."""
    properties: _Schema = schema.get("properties", {})
    if path != "sinks":
        yield f"\n## {f'`{path}`' if path else 'Top level'}\n\n"
        if path and "description" in schema:
            yield schema["description"].partition("\n")[0] + "\n\n"
        yield "| Key | Type | Default | Meaning |\n|---|---|---|---|\n"
        yield from (_row(key, value, schema.get("required", ())) for key, value in properties.items())
    for key, value in properties.items():
        name = _model_in(value)
        if name:
            yield from _section(f"{path}.{key}" if path else key, models[name], models)


def _row(key: str, schema: _Schema, required: Any) -> str:
    default = "required" if key in required else _default(schema)
    description = schema.get("description", "").replace("|", "\\|")
    return f"| `{key}` | {_kind(schema)} | {default} | {description} |\n"


def _default(schema: _Schema) -> str:
    value = schema.get("default")
    if value in (None, [], {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(schema: _Schema) -> str:
    if "title" in schema:
        return str(schema["title"])
    if "$ref" in schema:
        return "mapping"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    if "anyOf" in schema:
        return _any_of(schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return "path" if schema.get("format") == "path" else _TYPES.get(schema.get("type", ""), "text")


def _any_of(choices: list[_Schema]) -> str:
    kinds = list(dict.fromkeys(_kind(choice) for choice in choices))
    if len(kinds) == 2 and kinds[1] == f"list of {kinds[0]}":
        return f"{kinds[0]}, or a list"
    return " or ".join(kinds)


def _model_in(schema: _Schema) -> str:
    """The name of the class that a key's value belongs to; empty where it is no mapping."""
    for choice in (schema, *schema.get("anyOf", ())):
        if "$ref" in choice:
            return str(choice["$ref"]).rpartition("/")[2]
    return ""


if __name__ == "__main__":
    sys.stdout.write(render_reference())
