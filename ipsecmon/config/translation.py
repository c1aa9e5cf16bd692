"""pydantic's errors -> problems in the words of the file's author.

In: a ValidationError, the Document it judged and the class that judged. Out: one Problem for each
thing to mend, on its line, under its key as written, with what was found and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ipsecmon.config.document import Document
from ipsecmon.config.problems import KeyPath, Problem, render_found, suggestion

__all__ = ["translate"]

# By pydantic's error types (docs.pydantic.dev, errors/validation_errors); {ge} and the like are from
# the error's context. What is not here gets _OTHERWISE.
_MESSAGES: Mapping[str, str] = {
    "missing": "is missing",
    "int_type": "must be a whole number without quotes",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number that is not infinite",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text; put a number or true and false in quotes",
    "string_unicode": "must be text of whole characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must look like {pattern}",
    "path_type": "must be a path",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length}",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "iterable_type": "must be a list",
    "dict_type": "must be a mapping: lines of key: value",
    "mapping_type": "must be a mapping: lines of key: value",
    "model_type": "must be a mapping: lines of key: value",
    "model_attributes_type": "must be a mapping: lines of key: value",
    "url_type": "must be a URL",
    "url_parsing": "must be a URL",
    "url_scheme": "must be a URL that begins with {expected_schemes}",
    "value_error": "{error}",
    "assertion_error": "{error}",
}
_OTHERWISE = "cannot be used here"
_SECRET_WORDS = ("token", "password", "secret", "key", "credential")


def translate(error: ValidationError, document: Document, top: type[BaseModel]) -> list[Problem]:
    """One Problem for each error; a missing key that a misspelt one beside it explains is left out."""
    details = [(_written_path(item, document), item) for item in error.errors(include_url=False)]
    meant = {
        (*path[:-1], instead)
        for path, item in details
        if item["type"] == "extra_forbidden"
        for instead in _instead(str(path[-1]), _section(top, item["loc"][:-1]))
    }
    problems = (
        document.problem(path, _message(path, item, top))
        for path, item in details
        if item["type"] != "missing" or path not in meant
    )
    return list(dict.fromkeys(problems))


def _message(path: KeyPath, item: ErrorDetails, top: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown_key(str(path[-1]), _section(top, item["loc"][:-1]))
    message = _MESSAGES.get(item["type"], _OTHERWISE).format_map(_Context(item.get("ctx", {})))
    if item["type"] == "missing":
        return message + _described(item["loc"], top)
    if isinstance(item["input"], dict) and item["type"] == "value_error":
        return message
    if any(word in str(part).lower() for part in path for word in _SECRET_WORDS):
        return message
    return message + ("" if message.endswith("?") else ";") + f" found {render_found(item['input'])}"


class _Context(dict[str, Any]):
    """What a message may name; nothing where pydantic gives no such fact."""

    def __missing__(self, key: str) -> str:
        return "…"


def _described(loc: tuple[Any, ...], top: type[BaseModel]) -> str:
    section = _section(top, loc[:-1])
    field = _fields(section).get(str(loc[-1])) if section else None
    return f": {field.description}" if field is not None and field.description else ""


def _unknown_key(key: str, section: Optional[type[BaseModel]]) -> str:
    later = getattr(section, "NOT_YET", {})
    if key in later:
        return f"not yet in this version; {later[key]}"
    allowed = list(_fields(section)) if section else []
    nearest = suggestion(key, allowed)
    meant = f"; did you mean {nearest}?" if nearest else ";"
    return f"unknown key{meant} allowed: {', '.join(allowed)}"


def _instead(key: str, section: Optional[type[BaseModel]]) -> Iterator[str]:
    """The keys that one would have to write for this unknown one."""
    allowed = _fields(section) if section else {}
    later = getattr(section, "NOT_YET", {}).get(key)
    if later is not None:
        yield from (name for name in allowed if f"{name}:" in later)
    else:
        nearest = suggestion(key, allowed)
        yield from [nearest] if nearest else []


def _written_path(item: ErrorDetails, document: Document) -> KeyPath:
    """The error's place as it stands in the file: without the index of a lone item written as no list."""
    path: KeyPath = ()
    for part in item["loc"]:
        if (*path, part) in document.lines:
            path = (*path, part)
        elif part == item["loc"][-1] and item["type"] == "missing":
            return (*path, part)
    return path


def _section(top: type[BaseModel], loc: tuple[Any, ...]) -> Optional[type[BaseModel]]:
    """The class that judges the mapping at loc."""
    found: Optional[type[BaseModel]] = top
    for part in loc:
        if isinstance(part, str) and found is not None:
            field = _fields(found).get(part)
            found = _model_in(field.annotation) if field is not None else None
    return found


def _fields(section: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _model_in(annotation: Any) -> Optional[type[BaseModel]]:
    """The settings class in Optional[…], tuple[…, ...] and the like; no key has two."""
    inside = get_args(annotation)
    if inside:
        return next((model for model in map(_model_in, inside) if model is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
