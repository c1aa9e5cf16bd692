"""Reads the doctor's facts: files of /proc, rtnetlink and ethtool by pyroute2, nft(8) where that is allowed.

Everything with the rights of the process, and in its network namespace; nothing is changed. The agent itself
has no right to see rule sets: `sudo ipsecmon doctor` has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, TypeVar

from ipsecmon.agent.doctor_clock import is_clock_synchronised
from ipsecmon.agent.doctor_facts import AgentFacts, Fact, Facts, Unread, known
from ipsecmon.agent.doctor_links import read_gro, read_ingress, read_lower
from ipsecmon.agent.doctor_nft import list_ruleset
from ipsecmon.agent.plan import group_ranges
from ipsecmon.config import Config
from ipsecmon.errors import IpsecmonError
from ipsecmon.model import TunnelIncrement
from ipsecmon.store import report
from ipsecmon.wire.snmp_text import decode_snmp, decode_snmp6

__all__ = ["fragments_made", "read_facts", "read_modules", "read_owners"]

TABLE = "ipsecmon"
_HOUR_NS = 3600 * 10**9
_NET = Path("/proc/thread-self/net")
_SYS = Path("/proc/sys")
_Told = TypeVar("_Told")


def read_facts(config: Config, agent: Fact[AgentFacts], folder: Path) -> Facts:
    """agent: what the running one says. folder: its store."""
    names = [name for line in config.lines for name in line.interfaces]
    lower: Fact[Mapping[str, Sequence[str]]] = _tried(lambda: read_lower(names))
    return Facts(
        table=TABLE,
        ranges=group_ranges(config),
        wanted_buffer=config.nflog.receive_buffer_octets,
        has_tunnels=any(counter.ipsec for counter in config.counters),
        is_managed=config.rules == "managed",
        release=os.uname().release,
        lower=lower,
        gro=_tried(lambda: read_gro([name for found in known(lower).values() for name in found])),
        modules=_tried(read_modules),
        ruleset=_tried(list_ruleset),
        owners=_tried(read_owners),
        ingress=_tried(lambda: read_ingress(names)),
        rmem_max=_tried(lambda: int((_SYS / "net/core/rmem_max").read_text())),
        is_clock_synchronised=_tried(is_clock_synchronised),
        has_conntrack_accounting=_tried(_conntrack_accounting),
        last_hour=_tried(lambda: _last_hour(folder)),
        agent=agent,
    )


def read_modules(modules: Path = Path("/proc/modules"), root: Path = Path("/lib/modules")) -> frozenset[str]:
    """Of the running kernel, loaded or built in. Raises OSError."""
    loaded = {line.split()[0] for line in _lines(modules) if line}
    built_in = _lines(root / os.uname().release / "modules.builtin")
    return frozenset(loaded | {Path(line).stem.replace("-", "_") for line in built_in if line})


def read_owners() -> Mapping[int, int]:
    """Netlink port by NFLOG group. Raises OSError."""
    rows = [line.split() for line in _lines(_NET / "netfilter/nfnetlink_log")]
    return {int(row[0]): int(row[1]) for row in rows if row}


def fragments_made() -> int:
    """Since this network namespace began, of both families. Raises OSError and DecodeError."""
    four = decode_snmp("\n".join(_lines(_NET / "snmp")))
    six = decode_snmp6("\n".join(_lines(_NET / "snmp6")))
    return four.get("FragCreates", 0) + six.get("Ip6FragCreates", 0)


def _conntrack_accounting() -> bool:
    return (_SYS / "net/netfilter/nf_conntrack_acct").read_text().strip() != "0"


def _last_hour(folder: Path) -> Sequence[TunnelIncrement]:
    now_ns = time.time_ns()
    return report(folder, now_ns - _HOUR_NS, now_ns).tunnels


def _lines(file: Path) -> list[str]:
    """Nothing where the kernel has no such file."""
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def _tried(read: Callable[[], _Told]) -> Fact[_Told]:
    try:
        return read()
    except PermissionError as error:
        where = f"{error.filename}: " if error.filename else ""
        return Unread(f"{where}needs root: sudo ipsecmon doctor")
    except FileNotFoundError as error:
        return Unread(f"this kernel has no {error.filename}")
    except (IpsecmonError, OSError) as error:
        return Unread(str(error))
