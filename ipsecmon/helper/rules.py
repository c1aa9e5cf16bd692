"""Installing, verifying and removing the plan with nft(8). All text is rendered here, from the plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Callable, NamedTuple

from ipsecmon.errors import RulesRefused
from ipsecmon.helper.programs import find, output, run
from ipsecmon.ruleset.foreign import does_nat, nfmark_overlaps, without_chains, without_tables
from ipsecmon.ruleset.model import Plan
from ipsecmon.ruleset.nft import plan_chain, render, render_removal

__all__ = [
    "OUR_PREFIXES",
    "Applied",
    "Condition",
    "adapted",
    "apply_rules",
    "condition",
    "nfmark_uses",
    "nft_works",
    "remove_rules",
    "rules_stand",
    "stands_in_nft",
]

_IPTABLES_SAVE = ("iptables-save", "iptables-legacy-save", "ip6tables-save", "ip6tables-legacy-save")
_QDISC = re.compile(r"^qdisc (\S+) (\S+) dev (\S+)", re.MULTILINE)
OUR_TABLES = ("ipsecmon", "ipsecmon_live")
OUR_PREFIXES = tuple(f"{table}-" for table in OUR_TABLES)  # of chains of iptables


class Applied(NamedTuple):
    """nfmarks_refused: why packets are not tagged; empty: they are, or nothing asks for it.

    notes: what these rules can't tell on this router. backend: what has installed them.
    """

    does_nat: bool
    nfmarks_refused: list[str]
    notes: Sequence[str] = ()
    backend: str = "nft"


class Condition(NamedTuple):
    """stand: our rules are whole, and as this router wants them now. whole: nobody took or changed one; but
    the router may have changed, in its NAT or its use of nfmarks.
    """

    stand: bool
    whole: bool


def apply_rules(plan: Plan) -> Applied:
    """Install or replace, in one transaction. Raises RulesRefused."""
    fitted, refused = adapted(plan)
    text = render(fitted)
    stale = _stale_chains(plan.table, text)
    # the old rules are flushed by the time a stale chain goes: nothing refers to it any more
    _nft("-f", "-", text=text + "".join(f"delete chain inet {plan.table} {name}\n" for name in stale))
    return Applied(fitted.does_nat, refused)


def remove_rules(plan: Plan) -> None:
    """Take the table away with everything in it, or do nothing. Raises RulesRefused."""
    _nft("-f", "-", text=render_removal(plan))


def rules_stand(fitted: Plan) -> bool:
    """Whether exactly this plan is installed and whole. Raises RulesRefused."""
    listed = _table(fitted.table)
    chains = {item["chain"]["name"] for item in listed if "chain" in item}
    if plan_chain(fitted) not in chains:
        return False
    installed = sum("rule" in item for item in listed)
    return installed == _count_rules(render(fitted))


def condition(plan: Plan, stands: Callable[[Plan], bool]) -> Condition:
    """stands: whether exactly an adapted plan does. Raises RulesRefused."""
    fitted, _ = adapted(plan)
    if stands(fitted):
        return Condition(stand=True, whole=True)
    return Condition(False, whole=any(stands(one) for one in _adaptations(plan) if one != fitted))


def adapted(plan: Plan) -> tuple[Plan, list[str]]:
    """The plan as this router allows it, and why nfmarks are left alone if they are."""
    nft_text, iptables_text = _foreign_rules()
    fitted = replace(plan, does_nat=does_nat(nft_text, iptables_text))
    if not plan.writes_nfmarks():
        return fitted, []
    refused = nfmark_overlaps(_listings(nft_text, iptables_text), plan.nfmark_mask)
    return (fitted.without_nfmarks() if refused else fitted), refused


def _adaptations(plan: Plan) -> Iterator[Plan]:
    """The plan as any router may allow it."""
    for one in dict.fromkeys((plan, plan.without_nfmarks())):
        for nat in (False, True):
            yield replace(one, does_nat=nat)


def nfmark_uses(mask: int) -> list[str]:
    """One sentence for each use of a bit in mask that is not ours."""
    return nfmark_overlaps(_listings(*_foreign_rules()), mask)


def _foreign_rules() -> tuple[str, str]:
    """As nft(8) and iptables-save(8) print them, less ours."""
    nft_text = without_tables(output("nft", "-s", "-t", "list", "ruleset"), OUR_TABLES)
    iptables_text = "".join(map(output, _IPTABLES_SAVE))
    return without_chains(nft_text, OUR_PREFIXES), without_chains(iptables_text, OUR_PREFIXES)


def _listings(nft_text: str, iptables_text: str) -> dict[str, str]:
    """Of every program that tells of nfmarks, by its name."""
    return {
        "nft": nft_text,
        "iptables": iptables_text,
        "ip rule": output("ip", "rule") + output("ip", "-6", "rule"),
        "ip xfrm": output("ip", "xfrm", "state", "list", "nokeys") + output("ip", "xfrm", "policy"),
        "tc": _tc_filters(),
    }


def nft_works() -> bool:
    """Whether nft(8) is there and the kernel answers it."""
    program = find("nft")
    return program is not None and run(program, ("list", "tables")).returncode == 0


def stands_in_nft(plan: Plan) -> bool:
    """Whether there is a table of this plan's name."""
    return bool(_table(plan.table))


def _stale_chains(table: str, text: str) -> list[str]:
    chains = [item["chain"]["name"] for item in _table(table) if "chain" in item]
    return [name for name in chains if f"chain {name} {{" not in text]


def _count_rules(text: str) -> int:
    """Rules in rendered text: the lines inside chains but the one that declares a base chain."""
    return sum(
        line.startswith("    ") and not line.lstrip().startswith("type ") for line in text.splitlines()
    )


def _table(name: str) -> list[dict[str, Any]]:
    """nft's JSON objects of our table; [] if there is none."""
    if f"table inet {name}\n" not in _nft("list", "tables"):
        return []
    listing: list[dict[str, Any]] = json.loads(_nft("-j", "-t", "list", "table", "inet", name))["nftables"]
    return listing


def _nft(*arguments: str, text: str = "") -> str:
    program = find("nft")
    if program is None:
        raise RulesRefused("nft is not installed: install the package nftables")
    done = run(program, arguments, text)
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        raise RulesRefused(f"nft refused our rules: {said or f'exit status {done.returncode}'}")
    return done.stdout


def _tc_filters() -> str:
    """Of every interface: a tagged packet leaves by another one than the line."""
    questions = []
    for kind, handle, interface in _QDISC.findall(output("tc", "qdisc", "show")):
        ends = ("ingress", "egress") if kind in ("clsact", "ingress") else (f"parent {handle}",)
        questions += [f"filter show dev {interface} {end}\n" for end in ends if handle != "0:"]
    return output("tc", "-force", "-batch", "-", text="".join(questions)) if questions else ""
