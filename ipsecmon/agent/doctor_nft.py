"""What `nft list ruleset` says of flowtables, of chains, and of rules that log to NFLOG groups."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ipsecmon.agent.doctor_facts import Chain, Flowtable, LogRule, Ruleset
from ipsecmon.errors import SourceError

__all__ = ["is_net_admin", "list_ruleset", "read_ruleset"]

_LIMIT_S = 10.0
_SBIN = ":/usr/local/sbin:/usr/sbin:/sbin"  # not on an ordinary user's path
_CAP_NET_ADMIN = 12
_TABLE = re.compile(r"^table (\S+) (\S+) \{", re.MULTILINE)
_CHAIN = re.compile(r"^\tchain (\S+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_SAID = re.compile(r'\b(?:comment|prefix) "[^"\n]*"')
_FLOWTABLE = re.compile(r"^\tflowtable (\S+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_DEVICES = re.compile(r"\bdevices = \{([^}]*)\}")
_QUOTED = re.compile(r'"[^"\n]*"')  # a prefix or a comment may say anything
_GROUP = re.compile(r"\blog\b.*?\bgroup (\d+)(.*)")
_THRESHOLD = re.compile(r"\bqueue-threshold (\d+)")


def list_ruleset() -> Ruleset:
    """Raises SourceError where this process may not ask: the agent never may, root may."""
    if not is_net_admin():
        raise SourceError("only root may see rule sets: sudo ipsecmon doctor")
    nft = shutil.which("nft", path=os.environ.get("PATH", "") + _SBIN)
    if nft is None:
        raise SourceError("nft is not installed")
    try:
        done = subprocess.run(
            [nft, "-s", "list", "ruleset"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"nft did not answer within {_LIMIT_S:.0f} s") from None
    if done.returncode:
        raise SourceError(f"nft: {done.stderr.strip().partition(chr(10))[0]}")
    return read_ruleset(done.stdout)


def read_ruleset(text: str) -> Ruleset:
    """text: as nft prints it, tables at the start of a line and what is in them behind a tab."""
    starts = [found.start() for found in _TABLE.finditer(text)]
    tables = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)])]
    return Ruleset(
        [one for table in tables for one in _flowtables(table)],
        [one for table in tables for one in _log_rules(table)],
        [one for table in tables for one in _chains(table)],
    )


def _flowtables(table: str) -> Iterator[Flowtable]:
    for name, inside in _FLOWTABLE.findall(table):
        devices = _DEVICES.search(inside)
        words = re.split(r"[\s,]+", devices[1].strip()) if devices else []
        yield Flowtable(
            name,
            frozenset(word.strip('"') for word in words if word),
            re.search(r"^\s*counter\b", inside, re.MULTILINE) is not None,
            re.search(rf"\bflow (?:add|offload) @{re.escape(name)}\b", table) is not None,
        )


def _chains(table: str) -> Iterator[Chain]:
    named = _TABLE.match(table)
    for name, inside in _CHAIN.findall(table):
        lines = [_SAID.sub("", line).strip() for line in inside.splitlines()]
        is_base = any(line.startswith("type ") for line in lines)
        rules = [line for line in lines if line and not line.startswith(("type ", "policy ", "comment"))]
        yield Chain(f"{named[1]} {named[2]}" if named else "", name, is_base, rules)


def _log_rules(table: str) -> Iterator[LogRule]:
    named = _TABLE.match(table)
    for group, rest in _GROUP.findall(_QUOTED.sub("", table)):
        threshold = _THRESHOLD.search(rest)
        yield LogRule(named[2] if named else "", int(group), int(threshold[1]) if threshold else 0)


def is_net_admin() -> bool:
    """Whether this process may see and try rules."""
    status = Path("/proc/thread-self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _CAP_NET_ADMIN & 1)
