"""The programs of one flavour of iptables and one address family, on table mangle.

Reading legacy tables happens under their own lock: each replacement of a table, by whomever, shows
counters of 0 for a moment.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from ipsecmon.errors import RulesRefused
from ipsecmon.helper.programs import find, run
from ipsecmon.ruleset.saved import Saved, parse_saved

__all__ = ["FLAVOURS", "Xtables", "family_is_on", "holds_legacy"]

FLAVOURS = ("nft", "legacy")
_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_LOCK = "/run/xtables.lock"
_LOCK_WAIT_S = 10.0
_LOCK_STEP_S = 0.01
_LINE = re.compile(r"line:? (\d+)")


class Xtables:
    """One family of one flavour."""

    def __init__(self, flavour: str, family: int, restore: str, save: str) -> None:
        self.flavour = flavour
        self.family = family
        self._restore = restore
        self._save = save

    @staticmethod
    def found(flavour: str, family: int) -> Xtables | None:
        """Under its full name, or as what `iptables` is here (iptables -V says which)."""
        name = _PROGRAMS[family]
        for stem in (f"{name}-{flavour}", name):
            restore, save = find(f"{stem}-restore"), find(f"{stem}-save")
            if restore and save and (stem != name or _flavour_of(restore) == flavour):
                return Xtables(flavour, family, restore, save)
        return None

    @property
    def name(self) -> str:
        return f"{_PROGRAMS[self.family]}-{self.flavour}"

    def exists(self) -> bool:
        """Whether the table can be read without making it."""
        return self.flavour == "nft" or holds_legacy(self.family)

    def read(self) -> Saved:
        """Table mangle as it is. Raises RulesRefused."""
        if not self.exists():
            return Saved({}, [])
        with _locked() if self.flavour == "legacy" else contextlib.nullcontext():
            done = run(self._save, ("-c", "-t", "mangle"))
        if done.returncode:
            raise RulesRefused(f"{self.name} cannot be read: {_said(done.stderr, done.returncode)}")
        return parse_saved(done.stdout)

    def change(self, lines: list[str]) -> None:
        """One transaction on table mangle; what it does not name stays. Raises RulesRefused."""
        text = "\n".join(["*mangle", *lines, "COMMIT", ""])
        done = run(self._restore, ("--noflush", "-w"), text)
        if done.returncode:
            said = _said(done.stderr, done.returncode)
            rule = _rule_of(done.stderr, text)
            raise RulesRefused(f"{self.name} refused our rules: {said}{f' ({rule})' if rule else ''}")


def family_is_on(family: int) -> bool:
    """Whether this kernel has the address family at all (ipv6.disable=1 takes it away)."""
    return family == 4 or Path("/proc/net/if_inet6").exists()


def holds_legacy(family: int) -> bool:
    """Whether the legacy table mangle is in the kernel: reading it would make it."""
    names = Path("/proc/net/ip_tables_names" if family == 4 else "/proc/net/ip6_tables_names")
    try:
        return "mangle" in names.read_text().split()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RulesRefused(
            f"iptables-legacy needs root: {error.strerror} reading {names}; start ipsecmon as root"
        ) from error


def _flavour_of(restore: str) -> str:
    return "nft" if "nf_tables" in run(restore, ("-V",)).stdout else "legacy"


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """xtables' own lock, as the programs take it."""
    try:
        descriptor = os.open(_LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RulesRefused(
            f"iptables-legacy needs root: {error.strerror} opening its lock {_LOCK}; start ipsecmon as root"
        ) from error
    try:
        _take(descriptor)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise RulesRefused(
                    f"another program has held the lock of iptables for {_LOCK_WAIT_S:.0f} s"
                ) from None
            time.sleep(_LOCK_STEP_S)


def _said(stderr: str, status: int) -> str:
    return " ".join(stderr.split())[:300] or f"exit status {status}"


def _rule_of(stderr: str, text: str) -> str:
    found = _LINE.search(stderr)
    lines = text.splitlines()
    number = int(found.group(1)) if found else 0
    return lines[number - 1][:200] if 0 < number < len(lines) else ""
