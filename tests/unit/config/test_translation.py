"""Errors of classes that are not ours (a sink's settings) in the words of the file's author."""

from __future__ import annotations

from typing import Literal, Optional

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from ipsecmon.config.document import read_document
from ipsecmon.config.translation import translate


class Inner(BaseModel):
    size: float = Field(gt=0, lt=5)


class Odd(BaseModel, extra="forbid"):
    flag: bool = True
    count: int = Field(1, multiple_of=2)
    word: Literal["red", "green"] = "red"
    text: str = Field("ab", min_length=2, max_length=4, pattern="^[a-z]+$")
    many: list[int] = Field([1], max_length=2)
    table: dict[str, int] = Field({})
    token: str = ""
    inner: Optional[Inner] = None

    @field_validator("text")
    @classmethod
    def _never_bad(cls, value: str) -> str:
        if value == "bad":
            raise ValueError("says bad")
        return value


def told(text: str) -> list[str]:
    document = read_document(text, "f")
    with pytest.raises(ValidationError) as caught:
        Odd.model_validate(document.root)
    return [str(problem) for problem in translate(caught.value, document, Odd)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flag: maybe", 'f:1: flag: must be true or false; found "maybe"'),
        ("count: 3", "f:1: count: must be a multiple of 2; found 3"),
        ("count: 1.5", "f:1: count: must be a whole number; found 1.5"),
        ("count: []", "f:1: count: must be a whole number without quotes; found a list"),
        ("word: blue", "f:1: word: must be one of 'red' or 'green'; found \"blue\""),
        ("text: a", 'f:1: text: must have at least 2 characters; found "a"'),
        ("text: abcde", 'f:1: text: must have at most 4 characters; found "abcde"'),
        ("text: A1", 'f:1: text: must look like ^[a-z]+$; found "A1"'),
        ("text: bad", 'f:1: text: says bad; found "bad"'),
        ("text: {}", "f:1: text: must be text; put a number or true and false in quotes; found a mapping"),
        ("many: 5", "f:1: many: must be a list; found 5"),
        ("many: [1, 2, 3]", "f:1: many: must hold at most 2; found a list"),
        ("table: []", "f:1: table: must be a mapping: lines of key: value; found a list"),
        ("inner:\n  size: 0", "f:2: inner.size: must be more than 0.0; found 0"),
        ("inner: {size: 9}", "f:1: inner.size: must be less than 5.0; found 9"),
        ("inner: {}", "f:1: inner.size: is missing"),
        ("inner: {size: big}", 'f:1: inner.size: must be a number; found "big"'),
    ],
)
def test_an_error_is_told_in_plain_words(text: str, expected: str) -> None:
    assert told(text) == [expected]


def test_what_stands_under_a_secret_key_is_never_repeated() -> None:
    assert "hunter2" not in "".join(told("token: [hunter2]\ntokken: hunter2"))
