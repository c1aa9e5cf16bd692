"""When our rules are others than before: by a reload, or since the last run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Optional, Protocol

from ipsecmon.account.tc_changes import sentence
from ipsecmon.agent.journal import Journal
from ipsecmon.agent.queues import NOT_SEEN
from ipsecmon.qos import EventKind
from ipsecmon.ruleset.model import Plan, Tap

__all__ = ["RULES_CONFIG", "RuleWatch"]

RULES_CONFIG = "rules.config"  # in the store: what each counter counted, when rules were last installed
_DIGEST = 12  # hexadecimal digits


class _Store(Protocol):
    def state(self, key: str) -> Optional[str]: ...
    def set_state(self, key: str, value: str) -> None: ...


class RuleWatch:
    def __init__(self, journal: Journal, store: _Store) -> None:
        self._journal = journal
        self._store = store

    def look(self, plan: Plan, since_ns: Optional[int] = None) -> None:
        """Tells of it where the plan's rules are not those of the last look. since_ns: end of the last run.

        Raises StoreError.
        """
        before = self._store.state(RULES_CONFIG)
        now = describe_plan(plan)
        remembered = json.dumps(now)
        if remembered == before:
            return
        said = list(_differences(json.loads(before), now)) if before else []
        if said:
            is_old = since_ns is not None
            text = sentence("rules", said, NOT_SEEN if is_old else "")
            state = {RULES_CONFIG: remembered}
            self._journal.note(EventKind.RULES_CHANGED, text, "", len(said), since_ns, is_old, state)
        else:
            self._store.set_state(RULES_CONFIG, remembered)


def describe_plan(plan: Plan) -> dict[str, str]:
    """By counter, what tells its rules from others in both directions; NFLOG groups are no part of it."""
    found: dict[str, list[object]] = {}
    for part in plan.parts:
        _add(found, part.tap, {**asdict(part), "tap": None})
    for tunnel in plan.tunnels:
        _add(found, tunnel.tap, {**asdict(tunnel), "tap": None, "inside": None})
        for inside in tunnel.inside:
            _add(found, inside.tap, {**asdict(inside), "tap": None, "in": tunnel.tap.name})
    for tap in plan.watched:
        _add(found, tap, tap.group)
    named = {name: _digest(what) for name, what in found.items()}
    return {**named, "": _digest([plan.interfaces, list(named)])}


def _add(found: dict[str, list[object]], tap: Tap, what: object) -> None:
    found.setdefault(f"{tap.name} ({tap.observed_at.value})", []).append([tap.direction.value, what])


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()[:_DIGEST]


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    names = [name for name in dict.fromkeys([*before, *now]) if name]
    for name in names:
        if name not in now:
            yield f"counter {name} removed"
        elif name not in before:
            yield f"counter {name} added"
        elif before[name] != now[name]:
            yield f"counter {name} changed"
    if before.keys() == now.keys() and before.get("") != now.get(""):
        yield "order or interface changed"
