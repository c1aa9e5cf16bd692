"""Which backend installs the rules here, and that no other one has rules of ours at the same time.

auto: nft if nft(8) is there and works, else iptables. iptables: its nft flavour if that is there and
works, else legacy.
"""

from __future__ import annotations

from typing import Optional, Protocol

from ipsecmon.errors import RulesRefused
from ipsecmon.helper.iptables import IptablesRules
from ipsecmon.helper.netfilter import CounterDump, CounterReader
from ipsecmon.helper.programs import output
from ipsecmon.helper.rules import (
    OUR_PREFIXES,
    Applied,
    Condition,
    adapted,
    apply_rules,
    condition,
    nft_works,
    remove_rules,
    rules_stand,
    stands_in_nft,
)
from ipsecmon.helper.xtables import FLAVOURS, Xtables
from ipsecmon.ruleset.iptables import prefix
from ipsecmon.ruleset.model import Plan

__all__ = ["Rules", "prepare", "resolve"]


class _Backend(Protocol):
    def apply(self) -> Applied: ...
    def stand(self) -> Condition: ...
    def remove(self) -> None: ...
    def read(self) -> CounterDump: ...
    def holds_ours(self) -> bool: ...


class Rules:
    """The plan's rules by its backend, which is chosen at first use. Every method raises RulesRefused."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chosen: Optional[_Backend] = None

    def apply(self) -> Applied:
        """Rules of ours that another backend has go first: each would count and copy every packet."""
        backend = self._backend()
        self._remove_others(backend)
        return backend.apply()

    def stand(self) -> Condition:
        return self._backend().stand()

    def remove(self) -> None:
        """Of every backend. The others first: rules of theirs may use the nfacct objects."""
        backend = self._backend()
        self._remove_others(backend)
        backend.remove()

    def read(self) -> CounterDump:
        return self._backend().read()

    def _backend(self) -> _Backend:
        if self._chosen is None:
            self._chosen = _made(self._plan, resolve(self._plan.backend))
        return self._chosen

    def _remove_others(self, backend: _Backend) -> None:
        for other in _others(self._plan, backend):
            if other.holds_ours():
                other.remove()


class _Nft:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._reader: Optional[CounterReader] = None

    def apply(self) -> Applied:
        return apply_rules(self._plan)

    def stand(self) -> Condition:
        return condition(self._plan, rules_stand)

    def remove(self) -> None:
        remove_rules(self._plan)

    def read(self) -> CounterDump:
        if self._reader is None:
            self._reader = CounterReader(self._plan.table)
        return self._reader.read()

    def holds_ours(self) -> bool:
        return nft_works() and stands_in_nft(self._plan)


class _Iptables:
    def __init__(self, plan: Plan, flavour: str) -> None:
        self.flavour = flavour
        self._plan = plan
        self._rules = IptablesRules(plan, flavour, (*OUR_PREFIXES, prefix(plan)))

    def apply(self) -> Applied:
        fitted, refused = adapted(self._plan)
        notes = self._rules.apply(fitted)
        return Applied(fitted.does_nat, refused, notes, f"iptables-{self.flavour}")

    def stand(self) -> Condition:
        return condition(self._plan, self._rules.stand)

    def remove(self) -> None:
        self._rules.remove()

    def read(self) -> CounterDump:
        return self._rules.read()

    def holds_ours(self) -> bool:
        try:
            return self._rules.holds_ours()
        except RulesRefused:  # legacy tables are root's: an ordinary user has none there
            return False


def prepare(plan: Plan) -> bool:
    """While this process may still load modules. Returns whether legacy iptables, which needs CAP_NET_RAW, is
    the backend, or has rules of ours that must go."""
    try:
        legacy = resolve(plan.backend) == "iptables-legacy"
    except RulesRefused:
        legacy = False
    if legacy:  # all others the kernel loads by itself
        output("modprobe", "-q", "-a", "ip_tables", "ip6_tables")
    return legacy or _Iptables(plan, "legacy").holds_ours()


def resolve(wanted: str) -> str:
    """The one backend that a config's word means on this machine."""
    if wanted == "nft" or (wanted == "auto" and (nft_works() or not _has_iptables())):
        return "nft"
    if wanted in ("auto", "iptables"):
        return (
            "iptables-nft" if _iptables_nft_works() or not Xtables.found("legacy", 4) else "iptables-legacy"
        )
    return wanted


def _has_iptables() -> bool:
    return any(Xtables.found(flavour, 4) for flavour in FLAVOURS)


def _iptables_nft_works() -> bool:
    table = Xtables.found("nft", 4)
    try:
        return table is not None and table.read() is not None
    except RulesRefused:
        return False


def _made(plan: Plan, name: str) -> _Backend:
    return _Nft(plan) if name == "nft" else _Iptables(plan, name.partition("-")[2])


def _others(plan: Plan, backend: _Backend) -> list[_Backend]:
    mine = getattr(backend, "flavour", "")
    others: list[_Backend] = [_Iptables(plan, flavour) for flavour in FLAVOURS if flavour != mine]
    return [*others, *([_Nft(plan)] if mine else [])]
