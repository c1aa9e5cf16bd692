"""Whether the meters agree, in words and for programs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Optional

from ipsecmon.cli.render import printable
from ipsecmon.model import Pair, Reason, Reconciliation, Word

__all__ = ["agreement_line", "describe_agreement", "render_difference"]

_TOLD = 3
_MORE = {  # of a pair: who counted more, when the difference is positive and when it is negative
    Pair.RULE_NFLOG: ("its rule counted more than its header copies", "header copies say more than its rule"),
    Pair.SA_RULE: ("its SAs counted more than its rule inside", "its rule inside counted more than its SAs"),
    Pair.NIC_PARTS: ("the interface counted more than the parts", "the parts are more than the interface"),
}


def describe_agreement(one: Optional[Reconciliation]) -> Optional[dict[str, Any]]:
    """For JSON. Keys are promised; None where there is nothing to compare."""
    if one is None:
        return None
    return {
        "word": one.word.value,
        "reason": one.reason.value if one.reason else None,
        "pair": one.pair.value,
        "expected_octets": one.expected_octets,
        "seen_octets": one.seen_octets,
        "lost_packets": one.lost_packets,
        "explained_octets": one.explained_octets,
        "unexplained_octets": one.unexplained_octets,
    }


def agreement_line(found: Collection[Reconciliation]) -> str:
    """One line for all of a report; empty where no two meters counted the same."""
    compared = [one for one in found if one.reason is not Reason.NO_COUNTER]
    wrong = [one for one in compared if one.word is Word.DISAGREE]
    if wrong:
        return f"meters disagree: {_listed([_wrong(one) for one in wrong])}"
    explained = [one for one in compared if one.word is Word.EXPLAINED]
    if explained:
        return f"meters agree, and where they differ it is explained: {_listed(list(map(_why, explained)))}"
    return "meters agree" if compared else ""


def render_difference(one: Reconciliation) -> str:
    """Of two meters that disagree, as a sentence about the counter."""
    who = _MORE[one.pair][one.unexplained_octets < 0]
    return f"{who}, and nothing explains {abs(one.unexplained_octets):,} octets"


def _wrong(one: Reconciliation) -> str:
    return f"{_name(one)} by {abs(one.unexplained_octets):,} octets ({one.pair.value})"


def _why(one: Reconciliation) -> str:
    assert one.reason is not None
    return f"{_name(one)} ({one.reason.value}, {abs(one.explained_octets):,} octets)"


def _name(one: Reconciliation) -> str:
    return f"{printable(one.key.name)} {one.key.direction.value} at {one.key.observed_at.value}"


def _listed(told: Sequence[str]) -> str:
    others = len(told) - _TOLD
    return ", ".join(told[:_TOLD]) + (f" and {others} more" if others > 0 else "")
