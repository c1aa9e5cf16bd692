"""YAML text -> plain values, each with its line.

In: the text of a file. Out: a Document whose root holds only dict (str keys), list, str, int, float,
bool and None, and the line of every key and list item. Promised: never raises on any text; a document
that cannot be used at all has root None and says why in its problems.

Plain scalars are read by the YAML 1.2 core schema (yaml.org/spec/1.2.2, 10.3): `off`, `0755`, `12:30`
and dates are what is written and not a truth value, an octal, a base-60 number or a date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

import yaml

from ipsecmon.config.problems import KeyPath, Problem, render_key

__all__ = ["MAX_OCTETS", "Document", "read_document"]

MAX_OCTETS = 1 << 20  # a file of 1 MiB holds some ten thousand counters; more is a mistake
MAX_DEPTH = 24  # the deepest setting is at 6; the parser recurses, so this also guards the stack
MAX_VALUES = 100_000  # aliases can repeat a value without end; what 1 MiB can hold without them

_NULLS = ("", "~", "null", "Null", "NULL")
_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"[-+]?[0-9]{1,20}"), int),
    (re.compile(r"0x[0-9a-fA-F]{1,16}"), lambda text: int(text, 16)),
    (re.compile(r"0o[0-7]{1,20}"), lambda text: int(text, 8)),
    (re.compile(r"[-+]?(\.[0-9]{1,20}|[0-9]{1,20}(\.[0-9]{0,20})?)([eE][-+]?[0-9]{1,3})?"), float),
    (re.compile(r"true|True|TRUE"), lambda _text: True),
    (re.compile(r"false|False|FALSE"), lambda _text: False),
)
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")}  # what has no tag gets one of these


@dataclass
class Document:
    """One file as plain values. lines: of the key (in a mapping) or of the item (in a list).

    unread: keys whose value was refused here; they stand as None.
    """

    file: str
    root: Optional[dict[str, Any]] = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[KeyPath] = field(default_factory=set)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A Problem at path, on the line of the nearest key above it that is in the file."""
        known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self.lines), None)
        return Problem(self.file, self.lines[known] if known else None, render_key(path), message)


def read_document(text: str, file: str) -> Document:
    """The values of a YAML text, and what is wrong with it as YAML."""
    document = Document(file)
    try:
        node = _Composer(text).get_single_node()
    except yaml.YAMLError as error:
        document.problems.append(_broken(error, file))
    except (ValueError, OverflowError):  # PyYAML lets chr() and int() of an escape or a directive raise
        document.problems.append(Problem(file, None, "", "not valid YAML: an escape is no character"))
    else:
        _fill(document, node)
    return document


class _Composer(yaml.SafeLoader):
    """Nodes without types: _Reader gives plain scalars theirs."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  (never changed; PyYAML declares it so)
    depth = 0

    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        node: Optional[yaml.Node] = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _fill(document: Document, node: Optional[yaml.Node]) -> None:
    if node is None or (isinstance(node, yaml.ScalarNode) and node.value in _NULLS):
        document.problems.append(Problem(document.file, None, "", "empty: write at least line:"))
    elif not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        document.problems.append(Problem(document.file, line, "", "must be a mapping: lines of key: value"))
    else:
        reader = _Reader(document)
        root = reader.value(node, ())
        if reader.excess:
            document.problems[:] = [Problem(document.file, None, "", reader.excess)]
        else:
            document.root = root


class _Reader:
    """Follows nodes into values, noting lines and problems in the document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._values = 0
        self.excess = ""

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            self.excess = f"more than {MAX_VALUES} values once its aliases are followed"
        elif len(path) > MAX_DEPTH:
            self.excess = f"nested deeper than {MAX_DEPTH} levels once its aliases are followed"
        if self.excess:
            return None
        if node.tag not in _TAGS:
            self._refuse(path, f"the tag {node.tag} is not used here; leave it out")
            self._document.unread.add(path)
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return self._list(node, path)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                problem = Problem(self._document.file, line, render_key(path), "a key must be one word")
                self._document.problems.append(problem)
                continue
            inside = (*path, str(key_node.value))
            if key_node.value in found:
                message = f"the key is given twice; the first is on line {self._document.lines[inside]}"
                self._document.problems.append(
                    Problem(self._document.file, line, render_key(inside), message)
                )
                continue
            self._document.lines[inside] = line
            found[key_node.value] = self.value(value_node, inside)
        return found

    def _list(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        found = []
        for index, item in enumerate(node.value):
            self._document.lines[(*path, index)] = item.start_mark.line + 1
            found.append(self.value(item, (*path, index)))
        return found

    def _refuse(self, path: KeyPath, message: str) -> None:
        self._document.problems.append(self._document.problem(path, message))


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return text
    if text in _NULLS:
        return None
    return next((read(text) for pattern, read in _PLAIN if pattern.fullmatch(text)), text)


def _broken(error: yaml.YAMLError, file: str) -> Problem:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem(file, None, "", "not valid YAML: " + str(error).partition("\n")[0])
    mark, begun = error.problem_mark, error.context_mark
    message = f"not valid YAML at column {mark.column + 1}: {error.problem}"
    if error.problem and "'\\t'" in error.problem:
        message += "; indent with spaces, not tabs"
    if error.context and begun and begun.line != mark.line:
        message += f" ({error.context} that began on line {begun.line + 1})"
    return Problem(file, mark.line + 1, "", message)
