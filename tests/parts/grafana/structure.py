"""What is wrong with a dashboard's form: by a JSON Schema of Grafana's types, and by what Grafana 9.2 has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft7Validator  # type: ignore[import-untyped]

__all__ = ["faults"]

Json = dict[str, Any]

# Of the package @grafana/data 9.2.6: DataTransformerID, FieldColorModeId, FieldMatcherID.
_TRANSFORMATIONS = """
append calculateField concatenate configFromData convertFieldType filterByRefId filterByValue
filterFieldsByName groupBy joinByField labelsToFields limit merge organize reduce renameByRegex
rowsToFields seriesToRows sortBy
"""
_COLOUR_MODES = """
thresholds palette-classic palette-saturated fixed continuous-GrYlRd continuous-RdYlGr continuous-BlYlRd
continuous-YlRd continuous-BlPu continuous-YlBl continuous-blues continuous-reds continuous-greens
continuous-purples
"""
_MATCHERS = "byName byRegexp byType byFrameRefID numeric time first firstTimeField"
_PANELS = "timeseries stat bargauge table text row"


def faults(dashboard: Json, schema: Json) -> Iterator[str]:
    """Each names the panel and the place. schema: of StrictDashboard."""
    strict = schema["definitions"]["StrictDashboard"]
    kinds = _schemas_by_kind(schema)
    head = {**dashboard, "panels": []}
    yield from _schema_faults("dashboard", head, {**strict, "definitions": schema["definitions"]})
    for panel in dashboard["panels"]:
        where = f"panel {panel.get('id')} {panel.get('title')!r}"
        if panel.get("type") not in _PANELS.split():
            yield f"{where}: Grafana 9.2 has no panel {panel.get('type')!r}"
            continue
        kind = {**kinds[panel["type"]], "definitions": schema["definitions"]}
        yield from _schema_faults(where, panel, kind)
        yield from (f"{where}: {fault}" for fault in _newer(panel))
    yield from _repeated(dashboard)


def _schemas_by_kind(schema: Json) -> dict[str, Json]:
    """One schema a panel's type: what fails then says why, and not that no alternative fits."""
    found: dict[str, Json] = {}
    for reference in schema["definitions"]["StrictDashboard"]["properties"]["panels"]["items"]["anyOf"]:
        kind = reference
        if "$ref" in reference:
            kind = schema["definitions"][reference["$ref"].rpartition("/")[2]]
        found[kind["properties"]["type"]["const"]] = kind
    return found


def _schema_faults(where: str, value: Json, schema: Json) -> Iterator[str]:
    for error in Draft7Validator(schema).iter_errors(value):
        place = "/".join(map(str, error.absolute_path))
        yield f"{where}: {place}: {error.message[:200]}"


def _newer(panel: Json) -> Iterator[str]:
    """What the newest Grafana's types allow and 9.2 does not know."""
    for step in panel.get("transformations", []):
        if step["id"] not in _TRANSFORMATIONS.split():
            yield f"Grafana 9.2 has no transformation {step['id']!r}"
    config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
    for override in config["overrides"]:
        if override["matcher"]["id"] not in _MATCHERS.split():
            yield f"Grafana 9.2 has no matcher {override['matcher']['id']!r}"
    colours = [config["defaults"].get("color")]
    colours += [
        one.get("value") for o in config["overrides"] for one in o["properties"] if one["id"] == "color"
    ]
    for colour in filter(None, colours):
        if colour["mode"] not in _COLOUR_MODES.split():
            yield f"Grafana 9.2 has no colour mode {colour['mode']!r}"


def _repeated(dashboard: Json) -> Iterator[str]:
    """Panels of one id, or one over the other."""
    ids: set[int] = set()
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        if panel["id"] in ids:
            yield f"panel {panel['id']}: the id is not its own"
        ids.add(panel["id"])
        cells = _cells(**panel["gridPos"])
        if cells & taken or any(x >= 24 for x, _ in cells):
            yield f"panel {panel['id']}: its place is not its own"
        taken |= cells


def _cells(x: int, y: int, w: int = 0, h: int = 0) -> set[tuple[int, int]]:
    return {(column, row) for column in range(x, x + w) for row in range(y, y + h)}
