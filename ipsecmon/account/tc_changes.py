"""What two configurations of an interface's qdiscs, classes and filters differ in, in words. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Optional

from ipsecmon.qos import QueueConfig

__all__ = ["differences", "sentence"]

_TOLD = 6  # differences in a sentence; the rest is a number
_QDISC, _CLASS, _FILTER = "qdisc", "class", "filter"
_ROOT = "root"
_AT_INGRESS = ("ingress", "clsact")

_Objects = Mapping[tuple[str, str], QueueConfig]


def differences(before: Sequence[QueueConfig], now: Sequence[QueueConfig]) -> list[str]:
    """One phrase each. What hangs below a root that was replaced is told with it."""
    old_root, new_root = _root(before), _root(now)
    said = list(_root_change(old_root, new_root, before, now))
    if said:  # all but ingress hung below it
        before, now = ([one for one in side if _is_ingress(one)] for side in (before, now))
    return [*said, *_object_changes(_objects(before), _objects(now)), *_filter_changes(before, now)]


def sentence(what: str, said: Sequence[str], aside: str = "") -> str:
    """what: an interface, or what else is other than before. aside: said at the end in parentheses."""
    told = "; ".join(said[:_TOLD])
    more = f"; and {len(said) - _TOLD} more" if len(said) > _TOLD else ""
    return f"{what}: {told}{more}{f' ({aside})' if aside else ''}"


def _root(side: Sequence[QueueConfig]) -> Optional[QueueConfig]:
    return next((one for one in side if one.what == _QDISC and one.parent == _ROOT), None)


def _is_default(root: Optional[QueueConfig]) -> bool:
    """Made by the kernel itself, or nothing: an interface that is not up yet has none."""
    return root is None or root.handle == "0:"


def _is_ingress(one: QueueConfig) -> bool:
    return one.place.startswith("ffff:")


def _root_change(
    old: Optional[QueueConfig],
    new: Optional[QueueConfig],
    before: Sequence[QueueConfig],
    now: Sequence[QueueConfig],
) -> Iterator[str]:
    if _is_default(old) and _is_default(new):
        if old and new and old.kind != new.kind:
            yield f"root {old.kind} replaced by {new.kind}"
    elif old is None or new is None:
        there, side, verb = (old, before, "removed") if old else (new, now, "added")
        assert there is not None
        yield f"root {_named(there)}{_worded(there)}{_classes(side)} {verb}"
    elif (old.kind, old.place) != (new.kind, new.place):
        yield f"root {_named(old)} replaced by {_named(new)}{_worded(new)}{_classes(now)}"


def _classes(side: Sequence[QueueConfig]) -> str:
    number = sum(one.what == _CLASS for one in side)
    return f" with {number} class{'' if number == 1 else 'es'}" if number else ""


def _objects(side: Sequence[QueueConfig]) -> _Objects:
    return {(one.what, one.place): one for one in side if one.what != _FILTER and one.handle != "0:"}


def _object_changes(before: _Objects, now: _Objects) -> Iterator[str]:
    for key, old in before.items():
        if key not in now:
            yield f"{_called(old)} removed"
    for key, new in now.items():
        if key not in before:
            yield f"{_called(new)}{_worded(new)} added"
        else:
            yield from _change(before[key], new)


def _change(old: QueueConfig, new: QueueConfig) -> Iterator[str]:
    if old.kind != new.kind:
        yield f"{_called(old)} replaced by {_named(new)}{_worded(new)}"
    elif old.digest != new.digest:
        options = old.digest.partition("@")[0]
        if new.digest.partition("@")[0] == options:
            yield f"{_called(new)} moved from {old.parent}"
            return
        words = [
            f"{name} {old.words.get(name, 'none')} -> {new.words.get(name, 'none')}"
            for name in dict.fromkeys([*old.words, *new.words])
            if old.words.get(name) != new.words.get(name)
        ]
        yield f"{_called(new)} {', '.join(words) or 'options changed'}"


def _filter_changes(before: Sequence[QueueConfig], now: Sequence[QueueConfig]) -> Iterator[str]:
    """In their order, which decides; by the place they hang at."""
    old, new = _filters(before), _filters(now)
    for parent in dict.fromkeys([*old, *new]):
        one, other = old.get(parent, []), new.get(parent, [])
        if one == other:
            continue
        if len(one) == len(other):
            yield f"filters of {parent} changed"
        else:
            yield f"filters of {parent} ({len(one)} -> {len(other)})"


def _filters(side: Sequence[QueueConfig]) -> Mapping[str, list[tuple[str, str, str]]]:
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for one in side:
        if one.what == _FILTER:
            found[one.parent].append((one.place, one.kind, one.digest))
    return found


def _named(one: QueueConfig) -> str:
    return f"{one.kind} {one.handle}"


def _called(one: QueueConfig) -> str:
    if one.what == _CLASS:
        return f"class {one.handle} ({one.kind})"
    where = "" if one.kind in _AT_INGRESS else f" at {one.parent}"
    return f"qdisc {_named(one)}{where}"


def _worded(one: QueueConfig) -> str:
    return "".join(f" {name} {value}" for name, value in one.words.items())
