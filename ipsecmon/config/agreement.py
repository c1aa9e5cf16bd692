"""What must hold between parts of a file, judged on its plain values.

It reads the values as written, so that these problems are told together with those of single values;
whatever has the wrong type is passed over here, because its own check tells that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, Callable, Optional

from ipsecmon.config.counters import BUILT_IN_PARTS
from ipsecmon.config.document import Document
from ipsecmon.config.problems import KeyPath, Problem, render_key, suggestion
from ipsecmon.config.readers import parse_peer

__all__ = ["disagreements", "empty_values"]

_MAY_BE_EMPTY = {"nfmark", "counters", "store", "sinks", "nflog"}  # nothing is what they mean by default

_Found = tuple[KeyPath, Any]


def disagreements(document: Document) -> list[Problem]:
    """Every pair of values that cannot stand together."""
    root = document.root or {}
    counters = list(_items(root, "counters"))
    lines = list(_items(root, "line"))
    names = [*_values(lines, "name"), *_values(counters, "name")]
    groups = [found for _, counter in counters for found in _groups(_, counter)]
    return [
        *_twice(document, names, _folded, "; names must differ in more than case"),
        *_twice(document, _values(lines, "interface"), str, "; its traffic would count twice"),
        *_twice(document, _peers(counters), str, ", which takes every packet first"),
        *_same_groups(document, groups, root),
        *_kinds(document, counters, root.get("rules", "managed")),
        *_unknown_tunnels(document, counters),
        *_unknown_sink_counters(document, root, _sink_names(names, lines)),
    ]


def empty_values(document: Document) -> dict[KeyPath, Problem]:
    """Keys with nothing after them: not the same as leaving the key out, where that could widen a counter."""
    message = "has no value: write one or leave the key out"
    found = (path for path in _empty(document.root, ()) if path not in document.unread)
    return {path: document.problem(path, message) for path in found}


def _empty(value: object, path: KeyPath) -> Iterator[KeyPath]:
    inside: Iterator[tuple[Any, object]] = iter(())
    if isinstance(value, dict):
        inside = iter(value.items())
    elif isinstance(value, list):
        inside = iter(enumerate(value))
    for part, item in inside:
        here = (*path, part)
        section = len(here) == 1 and part in _MAY_BE_EMPTY
        sink = len(here) == 3 and here[0] == "sinks"
        if item is None and not section and not sink:
            yield here
        yield from _empty(item, here)


def _items(mapping: Any, key: str, path: KeyPath = ()) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """The mappings under a key that may hold one or a list of them."""
    value = mapping.get(key)
    if isinstance(value, dict):
        yield (*path, key), value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield (*path, key, index), item


def _values(items: list[tuple[KeyPath, dict[str, Any]]], key: str) -> list[_Found]:
    return [((*path, key), item[key]) for path, item in items if isinstance(item.get(key), str)]


def _peers(counters: list[tuple[KeyPath, dict[str, Any]]]) -> list[_Found]:
    ipsecs = [((*path, "ipsec"), item.get("ipsec")) for path, item in counters]
    found = _values([(path, ipsec) for path, ipsec in ipsecs if isinstance(ipsec, dict)], "peer")
    return [(path, _read_peer(peer)) for path, peer in found]


def _read_peer(peer: str) -> str:
    try:
        return parse_peer(peer).casefold()
    except ValueError:
        return peer


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _twice(
    document: Document, found: list[_Found], same: Callable[[str], str], message: str
) -> Iterator[Problem]:
    first: dict[str, KeyPath] = {}
    for path, value in found:
        before = first.setdefault(same(value), path)
        if before != path:
            owner = f"{render_key(before)} on line {document.lines[before]}"
            yield document.problem(path, f'"{value}" is already {owner}{message}')


def _groups(path: KeyPath, counter: dict[str, Any]) -> Iterator[tuple[KeyPath, int, str]]:
    for inside, pin in _items(counter, "nflog", path):
        group = pin.get("group")
        if isinstance(group, int) and not isinstance(group, bool):
            yield (*inside, "group"), group, str(counter.get("name"))


def _same_groups(
    document: Document, groups: list[tuple[KeyPath, int, str]], root: dict[str, Any]
) -> Iterator[Problem]:
    first: dict[int, str] = {}
    for path, group, name in groups:
        if group in first:
            message = f'group {group} is fixed for "{first[group]}" and again for "{name}"'
            yield document.problem(path, f"{message}; each copy needs its own")
        first.setdefault(group, name)


def _kinds(
    document: Document, counters: list[tuple[KeyPath, dict[str, Any]]], rules: object
) -> Iterator[Problem]:
    """What a counter needs, by who keeps the rules."""
    for path, counter in counters:
        ignored = next((key for key in ("ipsec", "match", "inside_tunnel") if key in counter), None)
        if rules == "off":
            yield document.problem(path, "rules: off counts interfaces only: leave counters out")
        elif rules == "manual" and ignored:
            message = "your own rules say what is counted with rules: manual: leave it out"
            yield document.problem((*path, ignored), message)
        elif rules == "manual" and "nflog" not in counter:
            message = (
                "needs nflog with rules: manual: the group that a rule of yours logs to, and its direction"
            )
            yield document.problem(path, message)
        elif rules == "managed" and "ipsec" not in counter and "match" not in counter:
            yield document.problem(path, "needs exactly one of ipsec and match")


def _unknown_tunnels(document: Document, counters: list[tuple[KeyPath, dict[str, Any]]]) -> Iterator[Problem]:
    tunnels = [item["name"] for _, item in counters if "ipsec" in item and isinstance(item.get("name"), str)]
    for path, name in _values(counters, "inside_tunnel"):
        if name not in tunnels:
            yield document.problem(path, f'no counter with ipsec is named "{name}"' + _choice(name, tunnels))


def _sink_names(names: list[_Found], lines: list[tuple[KeyPath, dict[str, Any]]]) -> list[str]:
    """What a sink may ask for: counters and lines, a line also by its interface, and the built-in parts."""
    return [str(name) for _, name in (*names, *_values(lines, "interface"))] + list(BUILT_IN_PARTS)


def _unknown_sink_counters(document: Document, root: dict[str, Any], known: list[str]) -> Iterator[Problem]:
    for path, entry in _items(root, "sinks"):
        for kind, settings in entry.items():
            wanted: Optional[Any] = settings.get("counters") if isinstance(settings, dict) else None
            for index, name in enumerate(wanted if isinstance(wanted, list) else []):
                if isinstance(name, str) and name not in known:
                    message = f'no counter, line or built-in part is named "{name}"' + _choice(name, known)
                    yield document.problem((*path, kind, "counters", index), message)


def _choice(name: str, known: list[str]) -> str:
    nearest = suggestion(name, known)
    return f"; did you mean {nearest}?" if nearest else f"; there are: {', '.join(known) or 'none'}"
