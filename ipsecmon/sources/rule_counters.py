"""Named counters of our rules, as Readings.

In: the helper's `counters` verb. Out: one Reading a tap, never zeroed. A birth is a table's and an
object's handle in one boot and one network namespace: whoever removes and re-makes the table
makes new counters, even if they have passed the old value. Only what we made is known to have begun at
0: nft(8) and iptables-save(8) dump counters with their values, and these can be loaded again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple, Optional, Protocol

from ipsecmon.model import CounterKey, Reading

__all__ = ["RuleCounterSource", "RuleReadings", "boot"]

_RELOADED = "+"  # at the end of a birth: values of that life were put back


class NamedCounter(Protocol):
    """As the helper reads it."""

    @property
    def name(self) -> str: ...
    @property
    def handle(self) -> int: ...
    @property
    def octets(self) -> int: ...
    @property
    def packets(self) -> int: ...


class CounterDump(Protocol):
    @property
    def table(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def counters(self) -> Sequence[NamedCounter]: ...
    @property
    def reloadable(self) -> bool: ...


class Saved(Protocol):
    """A reading of an earlier run."""

    @property
    def octets(self) -> int: ...
    @property
    def packets(self) -> int: ...
    @property
    def birth(self) -> str: ...


class RuleReadings(NamedTuple):
    """missing: keys whose counter is not in the kernel. generation: of all rule sets here."""

    readings: list[Reading]
    missing: list[CounterKey]
    generation: int


class RuleCounterSource:
    """names: the kernel's object name of each key that must be there."""

    def __init__(self, read: Callable[[], CounterDump], names: Mapping[str, CounterKey]) -> None:
        self._read = read
        self._wanted = list(names.values())
        self._names = {_digest(name): key for name, key in names.items()}
        self._boot = boot()
        self._ours: set[str] = set()
        self._saved: dict[CounterKey, Saved] = {}
        self._reloads: dict[str, str] = {}

    def made(self, before: RuleReadings, after: RuleReadings) -> None:
        """We have applied rules between these two polls: what is new was made by us, at 0."""
        self._ours |= {one.birth for one in after.readings} - {one.birth for one in before.readings}

    def know(
        self, names: Mapping[str, CounterKey], saved: Optional[Mapping[CounterKey, Saved]] = None
    ) -> None:
        """Counters that may be there too, such as those of an earlier config; their last readings."""
        self._names = {**{_digest(name): key for name, key in names.items()}, **self._names}
        if saved is not None:
            self._saved = dict(saved)

    def want(self, names: Mapping[str, CounterKey]) -> None:
        """These must be there from now on; others are read as long as they are."""
        self._wanted = list(names.values())
        self.know(names)

    def forget_others(self) -> None:
        """Read only what must be there."""
        wanted = set(self._wanted)
        self._names = {name: key for name, key in self._names.items() if key in wanted}

    def poll(self) -> RuleReadings:
        """Raises SourceError."""
        dump = self._read()
        readings = []
        for counter in dump.counters:
            key = self._names.get(_digest(counter.name))
            if key is not None:
                birth = f"{self._boot}/{dump.table}/{counter.handle}"
                if dump.reloadable:
                    birth = self._reloaded(key, birth, counter)
                readings.append(Reading(key, counter.octets, counter.packets, birth, birth in self._ours))
        found = {reading.key for reading in readings}
        missing = [key for key in self._wanted if key not in found]
        return RuleReadings(readings, missing, dump.generation)

    def _reloaded(self, key: CounterKey, birth: str, counter: NamedCounter) -> str:
        """A counter below its saved reading was loaded from a dump: of that life, but not to go on from."""
        last = self._saved.get(key)
        if last is None or not last.birth.startswith(birth):
            return birth
        if last.birth not in self._reloads and (counter.octets, counter.packets) < (
            last.octets,
            last.packets,
        ):
            self._reloads[last.birth] = last.birth + _RELOADED
        else:
            self._reloads.setdefault(last.birth, last.birth)
        return self._reloads[last.birth]


def _digest(name: str) -> str:
    """The last part of an object's name, which alone tells a key; iptables has room for no more."""
    return name.rpartition("_")[2]


def boot() -> str:
    """Names this boot and this network namespace: counters of another one are other counters."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot_id}/{os.stat('/proc/self/ns/net').st_ino}"  # noqa: PTH116  # follows the magic link
