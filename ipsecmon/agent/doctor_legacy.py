"""Chains of legacy iptables, for the doctor: what iptables-legacy-save(8) prints of tables that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ipsecmon.agent.doctor_facts import Chain
from ipsecmon.helper.programs import output

__all__ = ["list_legacy", "read_legacy"]

_NAMES = {"iptables": "ip_tables_names", "ip6tables": "ip6_tables_names"}
_NET = Path("/proc/thread-self/net")
_SAID = re.compile(r'--(?:\w+-prefix|comment) (?:"[^"\n]*"|\S+)')


def list_legacy() -> list[Chain]:
    """Of both families. Raises PermissionError where this process may not ask."""
    return [chain for program in _NAMES for table in _tables(program) for chain in _listed(program, table)]


def read_legacy(text: str, program: str) -> list[Chain]:
    """text: as iptables-save prints it, of any tables."""
    chains: dict[tuple[str, str], Chain] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            chains[table, name] = Chain(f"{program}-legacy {table}", name, policy != "-", [])
        elif line.startswith("-A "):
            _, name, rule = f"{line} ".split(" ", 2)
            chain = chains[table, name]
            chains[table, name] = chain._replace(rules=[*chain.rules, _SAID.sub("", rule).strip()])
    return list(chains.values())


def _tables(program: str) -> Iterator[str]:
    """To ask for a table that is not there would make it."""
    try:
        yield from (_NET / _NAMES[program]).read_text().split()
    except FileNotFoundError:
        return


def _listed(program: str, table: str) -> list[Chain]:
    return read_legacy(output(f"{program}-legacy-save", "-t", table), program)
