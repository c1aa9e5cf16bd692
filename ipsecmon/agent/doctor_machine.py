"""Reads the doctor's facts: files of /proc, rtnetlink and ethtool by pyroute2, nft(8) where that is allowed.

Everything with the rights of the process, and in its network namespace; nothing is changed. The agent itself
has no right to see rule sets: `sudo ipsecmon doctor` has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple, TypeVar

from ipsecmon.agent.doctor_clock import is_clock_synchronised
from ipsecmon.agent.doctor_facts import AgentFacts, Fact, Facts, Ruleset, Unread, known
from ipsecmon.agent.doctor_ingress import list_filters
from ipsecmon.agent.doctor_legacy import list_legacy
from ipsecmon.agent.doctor_links import read_gro, read_gro_beside, read_lower, read_path_mtus
from ipsecmon.agent.doctor_nft import is_net_admin, list_ruleset
from ipsecmon.agent.doctor_others import read_wishes
from ipsecmon.agent.doctor_probe import lacking
from ipsecmon.agent.plan import group_ranges
from ipsecmon.config import Config
from ipsecmon.config.readers import parse_address
from ipsecmon.errors import IpsecmonError, SourceError
from ipsecmon.helper.rules import nfmark_uses
from ipsecmon.model import TunnelIncrement
from ipsecmon.store import report
from ipsecmon.wire.snmp_text import decode_snmp, decode_snmp6

__all__ = ["Fragments", "count_fragments", "read_facts", "read_modules", "read_owners"]

TABLE = "ipsecmon"
_HOUR_NS = 3600 * 10**9
_NET = Path("/proc/thread-self/net")
_SYS = Path("/proc/sys")
_Told = TypeVar("_Told")


class Fragments(NamedTuple):
    """Since this network namespace began, of both families. too_big: packets dropped as such."""

    made: int
    too_big: int


def read_facts(config: Config, agent: Fact[AgentFacts], folder: Path) -> Facts:
    """agent: what the running one says. folder: its store."""
    names = [name for line in config.lines for name in line.interfaces]
    is_managed = config.rules == "managed"
    has_tunnels = any(counter.ipsec for counter in config.counters)
    tags = is_managed and has_tunnels and config.nfmark.use != "off"
    lower: Fact[Mapping[str, Sequence[str]]] = _tried(lambda: read_lower(names))
    return Facts(
        table=TABLE,
        ranges=group_ranges(config),
        wanted_buffer=config.nflog.receive_buffer_octets,
        has_tunnels=has_tunnels,
        is_managed=is_managed,
        release=os.uname().release,
        lower=lower,
        gro=_tried(lambda: read_gro(_all(known(lower)))),
        gro_beside=_tried(lambda: read_gro_beside(_all(known(lower)))),
        modules=_tried(read_modules),
        ruleset=_tried(_ruleset),
        owners=_tried(read_owners),
        ingress=_tried(lambda: list_filters(names)),
        rmem_max=_tried(lambda: int((_SYS / "net/core/rmem_max").read_text())),
        is_clock_synchronised=_tried(is_clock_synchronised),
        has_conntrack_accounting=_tried(_conntrack_accounting),
        last_hour=_tried(lambda: _last_hour(folder)),
        agent=agent,
        tags=tags,
        nfmark_uses=_tried(lambda: _nfmark_uses(config.nfmark.mask)) if tags else (),
        lacking=_tried(lambda: _lacking(config, agent)),
        path_mtus=_tried(lambda: read_path_mtus(_peers(config, agent))),
        wishes=_tried(read_wishes),
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


def count_fragments() -> Fragments:
    """Raises OSError and DecodeError."""
    four = decode_snmp("\n".join(_lines(_NET / "snmp")))
    six = decode_snmp6("\n".join(_lines(_NET / "snmp6")))
    return Fragments(
        four.get("FragCreates", 0) + six.get("Ip6FragCreates", 0),
        four.get("FragFails", 0) + six.get("Ip6FragFails", 0),
    )


def _all(lower: Mapping[str, Sequence[str]]) -> list[str]:
    return [name for names in lower.values() for name in names]


def _ruleset() -> Ruleset:
    """nf_tables, and the chains of legacy iptables."""
    found = list_ruleset()
    return found._replace(chains=[*found.chains, *list_legacy()])


def _nfmark_uses(mask: int) -> Sequence[str]:
    if not is_net_admin():
        raise SourceError("only root may see rule sets: sudo ipsecmon doctor")
    return nfmark_uses(mask)


def _lacking(config: Config, agent: Fact[AgentFacts]) -> Sequence[str]:
    """Where our rules stand, or are those of iptables, nft's have nothing to prove."""
    stand = not isinstance(agent, Unread) and agent.rules_stand
    if stand or config.rules != "managed":
        return ()
    if config.backend not in ("auto", "nft"):
        raise SourceError("the rules are those of iptables")
    return lacking()


def _peers(config: Config, agent: Fact[AgentFacts]) -> Sequence[str]:
    """Addresses of the config, and of SAs that are alive."""
    ends = () if isinstance(agent, Unread) else agent.ends
    named = [str(peer) for one in config.counters if one.ipsec for peer in one.ipsec.peers]
    return sorted({*ends, *(peer for peer in named if parse_address(peer))})


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
