"""No text makes the loader raise anything but ConfigErrors, and every problem is one line in the file."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.config import Config, ConfigErrors, parse
from ipsecmon.config.reference import EXAMPLE

TEXT = EXAMPLE.read_text(encoding="utf-8")
WORDS = TEXT.split()
YAML_SIGNS = st.text(alphabet="ab01:-[]{},\"'\\#&*!|>?%@` \n\tUux", max_size=60)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(WORDS)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=5,
)


def judged(text: str) -> None:
    """Parses; whatever is wrong must be told in whole lines that point into the file."""
    try:
        assert isinstance(parse(text, "f"), Config)
    except ConfigErrors as errors:
        assert errors.problems
        assert len(str(errors).splitlines()) == len(errors.problems)
        for problem in errors.problems:
            assert problem.line is None or 1 <= problem.line <= len(text.splitlines()) + 1
            assert str(problem).isprintable()


@given(st.one_of(st.text(max_size=200), YAML_SIGNS))
def test_any_text_is_a_config_or_config_errors(text: str) -> None:
    judged(text)


@given(st.integers(0, len(TEXT)), st.integers(0, 40), YAML_SIGNS)
def test_the_example_with_a_piece_replaced_is_a_config_or_config_errors(
    at: int, removed: int, inserted: str
) -> None:
    judged(TEXT[:at] + inserted + TEXT[at + removed :])


@st.composite
def mutated_examples(draw: st.DrawFn) -> Any:
    """The example's values with one of them, at any depth, replaced."""
    root = yaml.load(TEXT, yaml.BaseLoader)
    value: Any = root
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        if not isinstance(value[key], (dict, list)) or not value[key] or draw(st.booleans()):
            value[key] = draw(VALUES)
            return root
        value = value[key]


@given(mutated_examples())
def test_the_example_with_a_value_replaced_is_a_config_or_config_errors(root: Any) -> None:
    judged(yaml.safe_dump(root, allow_unicode=True))
