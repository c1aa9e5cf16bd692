"""The JSON Schema of a file as a user writes it, for editors (yaml-language-server) and for the reference."""

from __future__ import annotations

from typing import Any, Optional

from pydantic.json_schema import GenerateJsonSchema

from ipsecmon.config.settings import Config

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12: units as text, scalars or lists where both are allowed."""
    schema = Config.model_json_schema(mode="validation", schema_generator=_AsWritten)
    schema = {key: _with_plain_references(value) for key, value in schema.items()}
    schema["$schema"] = GenerateJsonSchema.schema_dialect
    schema["title"] = "ipsecmon configuration"
    return schema


def _with_plain_references(value: Any) -> Any:
    """Older pydantic wraps a reference with a description in allOf; both mean the same (draft 2020-12)."""
    if isinstance(value, list):
        return [_with_plain_references(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_plain_references(item) for key, item in value.items()}
    wrapped = found.get("allOf", ())
    if len(wrapped) == 1 and set(wrapped[0]) == {"$ref"}:
        found.update(found.pop("allOf")[0])
    return found


class _AsWritten(GenerateJsonSchema):
    """Titles only where a kind of value has a name; no null, which a file may not say."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        json_schema = super().default_schema(schema)
        if json_schema.get("default", ...) is None:
            del json_schema["default"]
        return json_schema

    def sort(self, value: Any, parent_key: Optional[str] = None) -> Any:
        return value
