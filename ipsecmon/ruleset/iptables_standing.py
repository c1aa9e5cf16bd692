"""What stands of ours in table mangle, and the transactions that change it.

In: iptables-save's text as values. Out: a Standing, or lines for iptables-restore(8) --noflush.

Beside the sets of chains (ruleset.iptables) there are: `…life-HEX`, an empty chain that names this life
of all counters; `…made-xLETTERS`, an empty chain that says which base chains and tables were made for
us; `…sum`, which nothing jumps to, with one rule for each tap whose comment says what earlier sets of this
life have counted (ip6tables-nft-restore 1.8.9 loses the counters it is given). A tap's value is that and its
rules in every set: it goes on over each change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ipsecmon.ruleset.iptables import HOOKS, Chains
from ipsecmon.ruleset.saved import Saved, SavedRule

__all__ = [
    "LETTERS",
    "Standing",
    "Totals",
    "creation",
    "fold",
    "hooked_to",
    "removal",
    "standing",
    "unhooked",
]

LETTERS = ("a", "b")
_CARRIED = re.compile(r'--comment "?([0-9a-f]{10})-(\d+)-(\d+)"?$')
_TAP = re.compile(r"[0-9a-f]{10}")
_NFLOG = " -j NFLOG "
_TABLE = "mangle"

Totals = dict[str, tuple[int, int]]  # packets and octets of each tap's digest


class Standing(NamedTuple):
    """prefix: of our names. chains: all of ours, by name. hooks: jumps to sets in base chains.

    unled: a foreign rule stands before a jump of ours. life: 0 where there is none. made: None if it is
    not said.
    """

    prefix: str
    chains: dict[str, list[SavedRule]]
    hooks: list[SavedRule]
    unled: bool
    life: int
    made: str | None

    def letters(self) -> list[str]:
        """Sets of which there is anything."""
        return [letter for letter in LETTERS if any(self._of_set(letter))]

    def hooked(self) -> list[str]:
        """Sets that packets come to."""
        return [letter for letter in LETTERS if any(self._goal(hook, letter) for hook in self.hooks)]

    def stands(self, letter: str, marker: str, expected: Chains) -> bool:
        """Whether this set alone is there, whole, and comes first."""
        wanted = {f"{self.prefix}{letter}-is-{marker}": 0}
        wanted.update((name, len(rules)) for name, rules in expected.items())
        found = {name: len(self.chains[name]) for one in self.letters() for name in self._of_set(one)}
        jumps = sorted(f"-A {hook} -j {self.prefix}{letter}-{chain}" for hook, chain in HOOKS.items())
        return found == wanted and sorted(hook.text for hook in self.hooks) == jumps and not self.unled

    def counts(self) -> bool:
        """Whether each tap of each set still has its counting rules, and packets come to them."""
        taps = [rules for _, rules in self._taps(LETTERS)]
        return bool(self.hooked() and taps) and all(
            any(_NFLOG in one.text for one in rules) for rules in taps
        )

    def uses_nfacct(self) -> bool:
        return any("-m nfacct " in rule.text for _, rules in self._taps(LETTERS) for rule in rules)

    def totals(self, letters: Iterable[str] = LETTERS) -> Totals:
        """What this life has counted: the sum, and the sets of these letters."""
        found: Totals = {}
        for rule in self.chains.get(f"{self.prefix}sum", ()):
            carried = _CARRIED.search(rule.text)
            if carried:
                digest, packets, octets = carried.groups()
                _add(found, digest, int(packets), int(octets))
        for digest, rules in self._taps(letters):
            found.setdefault(digest, (0, 0))
            for rule in rules:
                if _NFLOG in rule.text:
                    _add(found, digest, rule.packets, rule.octets)
        return found

    def _taps(self, letters: Iterable[str]) -> Iterator[tuple[str, list[SavedRule]]]:
        for letter in letters:
            for name in self._of_set(letter):
                digest = name[len(self.prefix) + 2 :]
                if _TAP.fullmatch(digest):
                    yield digest, self.chains[name]

    def _of_set(self, letter: str) -> list[str]:
        return [name for name in self.chains if name.startswith(f"{self.prefix}{letter}-")]

    def _goal(self, hook: SavedRule, letter: str) -> bool:
        return f" -j {self.prefix}{letter}-" in hook.text


def standing(saved: Saved, prefix: str, agents: Iterable[str]) -> Standing:
    """agents: prefixes of every agent of ours; their jumps may come before this one's."""
    chains: dict[str, list[SavedRule]] = {
        name: [] for table, name in saved.chains if table == _TABLE and name.startswith(prefix)
    }
    jumps = tuple(f" -j {agent}" for agent in agents)
    hooks, unled, foreign = [], False, set()
    for rule in saved.rules:
        if rule.table != _TABLE:
            continue
        if rule.chain in chains:
            chains[rule.chain].append(rule)
        elif f" -j {prefix}" in rule.text:
            hooks.append(rule)
            unled = unled or rule.chain in foreign
        elif not any(jump in rule.text for jump in jumps):
            foreign.add(rule.chain)
    lives = [name[len(prefix) + 5 :] for name in chains if name.startswith(f"{prefix}life-")]
    made = [name[len(prefix) + 6 :] for name in chains if name.startswith(f"{prefix}made-x")]
    life = int(lives[0], 16) if len(lives) == 1 else 0
    return Standing(prefix, chains, hooks, unled, life, made[0] if made else None)


def creation(prefix: str, letter: str, marker: str, chains: Chains) -> list[str]:
    """A new set that nothing jumps to yet."""
    lines = [f":{name} - [0:0]" for name in (*chains, f"{prefix}{letter}-is-{marker}")]
    return [*lines, *(f"-A {name} {rule}" for name, rules in chains.items() for rule in rules)]


def hooked_to(prefix: str, letter: str) -> list[str]:
    """Jumps to this set, first in their chains."""
    return [f"-I {hook} 1 -j {prefix}{letter}-{chain}" for hook, chain in HOOKS.items()]


def unhooked(now: Standing) -> list[str]:
    """No jump to any set."""
    return [f"-D {rule.text[3:]}" for rule in now.hooks]


def fold(now: Standing, letters: Iterable[str], totals: Mapping[str, tuple[int, int]]) -> list[str]:
    """These sets, which nothing jumps to, are taken away; totals is what the sum holds from here on."""
    name = f"{now.prefix}sum"
    rules = [
        f"-A {name} -m comment --comment {digest}-{packets}-{octets}"
        for digest, (packets, octets) in sorted(totals.items())
    ]
    gone = [chain for letter in letters for chain in now.chains if chain.startswith(f"{now.prefix}{letter}-")]
    return [f":{name} - [0:0]", *rules, *_deleted(gone)]


def removal(now: Standing) -> list[str]:
    """Everything of ours, or nothing to do."""
    return [*unhooked(now), *_deleted(now.chains)]


def _deleted(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return [*(f"-F {name}" for name in listed), *(f"-X {name}" for name in listed)]


def _add(totals: Totals, digest: str, packets: int, octets: int) -> None:
    before = totals.get(digest, (0, 0))
    totals[digest] = before[0] + packets, before[1] + octets
