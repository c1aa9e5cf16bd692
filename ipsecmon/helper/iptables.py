"""Our rules by the iptables programs of one flavour, and the values of their counters.

A set of rules is replaced by a new one beside it: jumps are switched in one transaction, then what the
old set has counted is added to the sum, then it goes. So no packet is missed and no value falls, unless
somebody else removes, zeroes or reloads our rules: then the last values that were read here stand for
what is gone, and counting goes on from them. Each family is changed for itself.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from ipsecmon.errors import RulesRefused
from ipsecmon.helper.base_chains import BaseChains
from ipsecmon.helper.capabilities import CAP_NET_RAW, effective
from ipsecmon.helper.iptables_limits import explained, has_xfrm, limits
from ipsecmon.helper.netfilter import CounterDump
from ipsecmon.helper.nfacct import Acct, reloaded_by
from ipsecmon.helper.xtables import Xtables, family_is_on
from ipsecmon.ruleset.iptables import FAMILIES, Shape, chains, digest_of, marker, prefix
from ipsecmon.ruleset.iptables_standing import (
    LETTERS,
    Standing,
    Totals,
    creation,
    fold,
    hooked_to,
    removal,
    standing,
    unhooked,
)
from ipsecmon.ruleset.model import Plan
from ipsecmon.wire.nftables import NamedCounter

__all__ = ["IptablesRules"]


class IptablesRules:
    """agents: prefixes of every agent of ours. Every method raises RulesRefused, OSError or DecodeError."""

    def __init__(self, plan: Plan, flavour: str, agents: tuple[str, ...]) -> None:
        self.flavour = flavour
        self._plan = plan
        self._agents = agents
        self._prefix = prefix(plan)
        self._base_chains = BaseChains()
        self._acct = Acct(self._prefix)
        self._life = 0
        self._seen: dict[int, Totals] = {}
        self._by_acct = False
        self._looked_at = -1  # the generation, which is never negative
        self._generation = 0
        self._structures: dict[int, str] = {}

    def apply(self, fitted: Plan) -> list[str]:
        """Install or replace; what is to be known about it. The best that this kernel takes."""
        notes, refused = [], None
        for shape in self._shapes(fitted):
            try:
                self._install(fitted, shape)
            except RulesRefused as error:
                refused = refused or error
                continue
            if not shape.bpf:
                notes.append("the kernel has no bpf match (xt_bpf): IKE on UDP 4500 counts as nat-t")
            if not shape.ah6:
                notes.append("the kernel has no ah match (ip6t_ah): AH over IPv6 counts as what it protects")
            return [*notes, *limits(fitted, self._tables())]
        raise explained(refused)

    def stand(self, fitted: Plan) -> bool:
        """Whether exactly this plan is installed, whole and first, and nobody has put back old values."""
        return all(
            self._is_trusted(table.family, now := self._standing(table))
            and len(now.hooked()) == 1
            and any(self._is(fitted, table.family, shape, now) for shape in self._shapes(fitted))
            for table in self._tables()
        )

    def remove(self) -> None:
        for family in FAMILIES:
            table = Xtables.found(self.flavour, family)
            if table is None or not table.exists():
                continue
            now = self._standing(table)
            if now.chains or now.hooks:
                table.change(removal(now))
                self._base_chains.delete(table, now.made or "")
        if self._acct.supported():
            self._acct.delete()
        self._seen, self._life = {}, 0

    def holds_ours(self) -> bool:
        """Whether any rule or chain of ours stands in this flavour."""
        tables = [Xtables.found(self.flavour, family) for family in FAMILIES]
        return any(bool(self._standing(table).chains) for table in tables if table and table.exists())

    def read(self) -> CounterDump:
        """Values of this life, under the taps' digests."""
        found = self._look() if self._must_look() else None
        if self._by_acct:
            life, objects = self._acct.read()
            counters = [
                NamedCounter(digest, int(digest, 16), one.octets, one.packets)
                for digest, one in objects.items()
            ]
            return CounterDump(life, self._generation, counters if life else [])
        if not found:
            return CounterDump(0, self._generation, [])
        counters = [
            NamedCounter(digest, int(digest, 16), octets, packets)
            for digest, (packets, octets) in found.items()
        ]
        return CounterDump(self._life, self._generation, counters, reloadable=True)

    def _install(self, plan: Plan, shape: Shape) -> None:
        tables = self._tables()
        before = {table.family: self._standing(table) for table in tables}
        counted = {family: self._counted(family, now) for family, now in before.items()}
        stood = [now for now in before.values() if now.counts()]
        other_way = any(now.uses_nfacct() is not shape.nfacct for now in stood)
        goes_on = not other_way and all(totals is not None for totals in counted.values())
        life = self._life if goes_on and self._life else secrets.randbits(32) or 1
        if shape.nfacct:
            self._make_objects(plan, anew=other_way)
        for table in tables:
            self._replace(
                table, before[table.family], plan, shape, life, counted[table.family] if goes_on else {}
            )
        if not shape.nfacct and self._acct.supported():
            self._acct.delete()
        if not goes_on:
            self._seen = {}
        self._life, self._looked_at = life, -1

    def _replace(
        self, table: Xtables, now: Standing, plan: Plan, shape: Shape, life: int, counted: Totals | None
    ) -> None:
        """counted: what has been counted by now, in the sets that stand too; {}: begin at 0."""
        hooked = now.hooked()
        alive = hooked[:1] if counted and len(hooked) == 1 and self._is_trusted(table.family, now) else []
        letter = "b" if hooked[:1] == ["a"] else "a"
        carried = now.totals([one for one in LETTERS if one not in alive]) if alive else counted or {}
        missing = self._base_chains.missing(table) if now.made is None else ""
        mark = marker(chains(plan, table.family, shape))
        table.change(
            [
                *unhooked(now),  # what is dropped next may bear the new set's letter
                *fold(now, [one for one in LETTERS if one not in alive], carried),
                *(f"-X {name}" for name in now.chains if "-life-" in name),
                f":{self._prefix}life-{life:08x} - [0:0]",
                *creation(self._prefix, letter, mark, chains(plan, table.family, shape, letter)),
                *hooked_to(self._prefix, letter),
            ]
        )
        if now.made is None:
            made = set(missing) - set(self._base_chains.missing(table))
            table.change([f":{self._prefix}made-x{''.join(sorted(made))} - [0:0]"])
        if alive:
            frozen = self._standing(table)
            table.change(fold(frozen, alive, frozen.totals(alive)))

    def _make_objects(self, plan: Plan, anew: bool) -> None:
        if anew:
            self._acct.delete()
        self._acct.make(digest_of(tap) for tap in plan.taps())

    def _counted(self, family: int, now: Standing) -> Totals | None:
        """None: nobody knows what has been counted so far."""
        if self._is_trusted(family, now):
            self._life = self._life or now.life
            return now.totals() if now.life == self._life else None
        return self._seen.get(family)

    def _is_trusted(self, family: int, now: Standing) -> bool:
        """Whole, of the life that we know if we know one, and no value has fallen since it was read."""
        if not now.life or (self._life and now.life != self._life) or not now.counts():
            return False
        if now.uses_nfacct():
            return True  # the objects count on, whatever the rules' own counters say
        totals = now.totals()
        seen = self._seen.get(family, {})
        return all(
            packets <= totals.get(digest, (-1, -1))[0] and octets <= totals.get(digest, (-1, -1))[1]
            for digest, (packets, octets) in seen.items()
        )

    def _look(self) -> Totals:
        """The values by the rules, both families together; {} where they are not known."""
        self._looked_at = self._base_chains.generation()
        standings = {table.family: self._standing(table) for table in self._tables()}
        self._generation = self._generation_of(standings)
        stood = [now for now in standings.values() if now.counts()]
        self._by_acct = any(now.uses_nfacct() for now in stood) or (
            not stood
            and self._plan.nfacct == "auto"
            and self._acct.supported()
            and self._acct.read().life > 0
        )
        found: Totals = {}
        for family, now in standings.items():
            totals = self._counted(family, now)
            if totals is None:
                return {}
            self._seen[family] = totals
            for digest, (packets, octets) in totals.items():
                before = found.get(digest, (0, 0))
                found[digest] = before[0] + packets, before[1] + octets
        return found

    def _must_look(self) -> bool:
        """With nfacct, rules are looked at when some rule set has changed; only nft's say so themselves."""
        if not self._by_acct or self.flavour == "legacy":
            return True
        return self._base_chains.generation() != self._looked_at

    def _generation_of(self, standings: dict[int, Standing]) -> int:
        """Of every rule set here, as far as it can be told."""
        words = [str(self._looked_at)]
        if self.flavour == "legacy":
            words += [self._structures[family] for family in standings]
            words += [str(self._is_trusted(family, now)) for family, now in standings.items()]
            for names in ("/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"):
                words.append(Path(names).read_text() if Path(names).exists() else "")
        return zlib.crc32("\n".join(words).encode())

    def _is(self, plan: Plan, family: int, shape: Shape, now: Standing) -> bool:
        letter = now.hooked()[0]
        mark = marker(chains(plan, family, shape))
        return now.stands(letter, mark, chains(plan, family, shape, letter))

    def _shapes(self, plan: Plan) -> Iterator[Shape]:
        """From the best to the least."""
        xfrm = has_xfrm()
        nfacct = plan.nfacct == "auto" and not reloaded_by() and self._acct.supported()
        for ah6, bpf in product((True, False), (True, False)):
            for counting in (True, False) if nfacct else (False,):
                yield Shape(xfrm, bpf, counting, ah6)

    def _tables(self) -> list[Xtables]:
        """Of the families that this machine speaks."""
        if self.flavour == "legacy" and not effective() >> CAP_NET_RAW & 1:
            raise RulesRefused(
                "iptables-legacy needs CAP_NET_RAW and root's lock file: start ipsecmon as root, or use "
                "backend nft or iptables-nft"
            )
        found = [Xtables.found(self.flavour, family) for family in FAMILIES if family_is_on(family)]
        tables = [table for table in found if table is not None]
        if not any(table.family == 4 for table in tables):
            raise RulesRefused(f"iptables-{self.flavour} is not installed: install the package iptables")
        return tables

    def _standing(self, table: Xtables) -> Standing:
        saved = table.read()
        self._structures[table.family] = repr(
            (sorted(saved.chains.items()), [rule.text for rule in saved.rules])
        )
        return standing(saved, self._prefix, self._agents)
