"""What must hold between parts of a file, judged on its plain values.

It reads the values as written, so that these problems are told together with those of single values;
whatever has the wrong type is passed over here, because its own check tells that.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Hashable, Iterator
from typing import Any, Callable, NamedTuple, Optional

from pydantic import ValidationError

from ipsecmon.config.counters import BUILT_IN_PARTS
from ipsecmon.config.document import Document
from ipsecmon.config.ipsec import Ipsec
from ipsecmon.config.problems import KeyPath, Problem, render_key, suggestion
from ipsecmon.model import on_line

__all__ = ["disagreements", "empty_values"]

_MAY_BE_EMPTY = {
    "nfmark",
    "counters",
    "store",
    "sinks",
    "nflog",
    "xfrm",
    "warriors",
}  # nothing is what they mean by default

_Found = tuple[KeyPath, Any]


class _Tunnel(NamedTuple):
    """A counter as written. ipsec: None where it has none, or one that its own check refuses."""

    path: KeyPath
    counter: dict[str, Any]
    ipsec: Optional[Ipsec]


def disagreements(document: Document) -> list[Problem]:
    """Every pair of values that cannot stand together."""
    root = document.root or {}
    counters = list(_items(root, "counters"))
    lines = list(_items(root, "line"))
    tunnels = [_Tunnel(path, counter, _read_ipsec(counter)) for path, counter in counters]
    names = [*_values(lines, "name"), *_values(counters, "name")]
    groups = [found for _, counter in counters for found in _groups(_, counter)]
    return [
        *_twice(document, names, _folded, "; names must differ in more than case"),
        *_twice(document, _interfaces(lines), str, "; its traffic would count twice"),
        *_same_tunnels(document, tunnels),
        *_pins_without_rule(document, tunnels, root),
        *_same_groups(document, groups, root),
        *_several_lines(document, counters, lines, root.get("rules", "managed")),
        *_kinds(document, counters, root.get("rules", "managed")),
        *_unknown_tunnels(document, counters, tunnels),
        *_twice(document, _sink_files(root), posixpath.normpath, "; one would cut off lines of the other"),
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


def _interfaces(lines: list[tuple[KeyPath, dict[str, Any]]]) -> list[_Found]:
    found = _values(lines, "interface")
    for path, line in lines:
        several = line.get("interface")
        for index, name in enumerate(several if isinstance(several, list) else ()):
            if isinstance(name, str):
                found.append(((*path, "interface", index), name))
    return found


def _sink_files(root: dict[str, Any]) -> list[_Found]:
    files = [((*path, "file"), entry.get("file")) for path, entry in _items(root, "sinks")]
    return _values([(path, settings) for path, settings in files if isinstance(settings, dict)], "path")


def _read_ipsec(counter: dict[str, Any]) -> Optional[Ipsec]:
    try:
        return Ipsec.model_validate(counter["ipsec"])
    except (KeyError, ValidationError):
        return None


def _same_tunnels(document: Document, tunnels: list[_Tunnel]) -> Iterator[Problem]:
    first: dict[Hashable, KeyPath] = {}
    for path, _, ipsec in tunnels:
        here = (*path, "ipsec")
        before = first.setdefault(ipsec.conditions, here) if ipsec else here
        if before != here:
            owner = f"{render_key(before)} on line {document.lines[before]}"
            yield document.problem(here, f"has the conditions of {owner}, which takes everything first")


def _pins_without_rule(document: Document, tunnels: list[_Tunnel], root: dict[str, Any]) -> Iterator[Problem]:
    """Groups for copies that no rule of ours can make."""
    for path, counter, ipsec in tunnels if root.get("rules", "managed") == "managed" else ():
        for inside, pin in _items(counter, "nflog", path) if ipsec else ():
            if ipsec and not ipsec.has_rule:
                message = f"no rule can tell a tunnel by {', '.join(ipsec.without_rule)}: leave it out"
                yield document.problem(inside, message)
            elif ipsec and not ipsec.is_by_peer_alone and pin.get("observed_at", "wire") == "wire":
                message = "on the wire a rule tells a tunnel by its peer alone: write observed_at: inner"
                yield document.problem(inside, message)


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


def _several_lines(
    document: Document,
    counters: list[tuple[KeyPath, dict[str, Any]]],
    lines: list[tuple[KeyPath, dict[str, Any]]],
    rules: object,
) -> Iterator[Problem]:
    """What only one line can have."""
    if len(lines) < 2:
        return
    if rules == "manual":
        message = "nobody can tell which of them a rule of yours is on with rules: manual: leave one"
        yield document.problem(("line",), message)
        return
    for path, counter in counters:
        default = "inner" if "inside_tunnel" in counter else "wire"
        for inside, pin in _items(counter, "nflog", path):
            if pin.get("observed_at", default) == "wire":
                yield document.problem(inside, "with several lines there is a copy on each: leave it out")


def _kinds(
    document: Document, counters: list[tuple[KeyPath, dict[str, Any]]], rules: object
) -> Iterator[Problem]:
    """What a counter needs, by who keeps the rules."""
    for path, counter in counters:
        ignored = next((key for key in ("match", "inside_tunnel") if key in counter), None)
        if rules == "off" and "ipsec" not in counter:
            message = "rules: off counts interfaces and the SAs of tunnels: leave out what has no ipsec"
            yield document.problem(path, message)
        elif rules == "off" and "nflog" in counter:
            yield document.problem((*path, "nflog"), "there is none with rules: off: leave it out")
        elif rules == "manual" and ignored:
            message = "your own rules say what is counted with rules: manual: leave it out"
            yield document.problem((*path, ignored), message)
        elif rules == "manual" and "nflog" not in counter and "ipsec" not in counter:
            message = (
                "needs nflog with rules: manual: the group that a rule of yours logs to, and its direction"
            )
            yield document.problem(path, message)
        elif rules == "managed" and "ipsec" not in counter and "match" not in counter:
            yield document.problem(path, "needs exactly one of ipsec and match")


def _unknown_tunnels(
    document: Document, counters: list[tuple[KeyPath, dict[str, Any]]], tunnels: list[_Tunnel]
) -> Iterator[Problem]:
    named = {
        item["name"]: ipsec
        for _, item, ipsec in tunnels
        if "ipsec" in item and isinstance(item.get("name"), str)
    }
    for path, name in _values(counters, "inside_tunnel"):
        ipsec = named.get(name)
        if name not in named:
            message = f'no counter with ipsec is named "{name}"' + _choice(name, list(named))
            yield document.problem(path, message)
        elif ipsec and not ipsec.has_rule:
            message = f"no rule can tell what is inside: {name} is named by {', '.join(ipsec.without_rule)}"
            yield document.problem(path, message)


def _sink_names(names: list[_Found], lines: list[tuple[KeyPath, dict[str, Any]]]) -> list[str]:
    """What a sink may ask for: counters and lines, a line also by its interface, and the built-in parts."""
    bare = [str(name) for _, name in (*names, *_interfaces(lines))] + list(BUILT_IN_PARTS)
    several = [str(name) for _, name in _values(lines, "name")] if len(lines) > 1 else []
    return bare + [on_line(name, line) for name in bare for line in several]


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
