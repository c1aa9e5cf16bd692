"""What a queue carried of each part: counted where it can be told which queue a part goes through."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ipsecmon.account.queue_shares import Leaf, Offered, Surety, assign, carry

Floats = NDArray[np.float64]
RNG = np.random.default_rng(1)
PACKETS = {
    name: RNG.poisson(mean, 60).astype(float) for name, mean in (("VPN", 50), ("web", 80), ("other", 20))
}
PARTS = {name: Offered(1000 * one, one) for name, one in PACKETS.items()}
NONE = np.zeros(60)


def leaf(*names: str, drop: float = 0.0, is_fair: bool = False) -> Leaf:
    """Of packets of 1000 octets."""
    offered = np.sum([PACKETS[name] for name in names], axis=0)
    drops = np.round(offered * drop)
    return Leaf(1000 * (offered - drops), offered - drops, drops, is_fair)


def line(*leaves: Leaf) -> tuple[Floats, Floats]:
    octets: Floats = np.sum([one.octets for one in leaves], axis=0)
    drops: Floats = np.sum([one.drops for one in leaves], axis=0)
    return octets, drops


def test_where_nothing_is_dropped_carried_is_offered() -> None:
    found = carry(PARTS, NONE, NONE, [])
    assert all((found.octets[name] == one.octets).all() for name, one in PARTS.items())
    assert found.surety_of(["VPN"]) is Surety.COUNTED


def test_each_part_is_carried_by_the_queue_that_counts_its_packets() -> None:
    leaves = [leaf("VPN", drop=0.1), leaf("web", "other", drop=0.5)]
    found = carry(PARTS, *line(*leaves), leaves)
    assert found.octets["VPN"].tolist() == leaves[0].octets.tolist()
    assert found.octets["web"].sum() + found.octets["other"].sum() == pytest.approx(leaves[1].octets.sum())
    assert found.surety_of(["VPN"]) is Surety.COUNTED
    assert found.surety_of(["web"]) is Surety.SPREAD
    assert found.surety_of(["web", "other"]) is Surety.COUNTED  # alone in their queue


def test_a_part_in_which_nothing_passes_shares_no_queue() -> None:
    leaves = [leaf("VPN", drop=0.1), leaf("web", "other", drop=0.5)]
    found = carry({**PARTS, "ike": Offered(NONE, NONE)}, *line(*leaves), leaves)
    for names in (["VPN"], ["VPN", "ike"], ["web", "other"], ["web", "other", "ike"], ["ike"]):
        assert found.surety_of(names) in (Surety.COUNTED, found.surety["ike"]), names
    assert found.surety_of(["VPN", "ike"]) is found.surety_of(["web", "other"]) is Surety.COUNTED
    assert not found.octets["ike"].any()


def test_one_queue_of_all_spreads_its_loss() -> None:
    leaves = [leaf("VPN", "web", "other", drop=0.4)]
    octets, drops = line(*leaves)
    found = carry(PARTS, octets, drops, leaves)
    assert sum(one.sum() for one in found.octets.values()) == pytest.approx(octets.sum())
    assert found.octets["VPN"].sum() == pytest.approx(0.6 * PARTS["VPN"].octets.sum(), rel=0.01)
    assert found.surety_of(["VPN"]) is Surety.SPREAD
    assert found.surety_of(list(PARTS)) is Surety.COUNTED


def test_a_queue_that_keeps_flows_apart_tells_nothing_of_parts_that_share_it() -> None:
    leaves = [leaf("VPN", "web", "other", drop=0.4, is_fair=True)]
    assert carry(PARTS, *line(*leaves), leaves).surety_of(["VPN"]) is Surety.UNKNOWN


def test_without_queues_nobody_knows_whose_packets_were_dropped() -> None:
    octets, drops = line(leaf("VPN", "web", "other", drop=0.2))
    assert carry(PARTS, octets, drops, []).surety_of(["VPN"]) is Surety.UNKNOWN


def test_a_queue_that_takes_half_of_a_part_is_no_queue_of_it() -> None:
    half = leaf("web")
    half = Leaf(half.octets / 2, half.packets / 2, half.drops, False)
    assert assign(PACKETS, [leaf("VPN", "other"), half]) is None


def test_parts_that_cannot_be_told_apart_are_assigned_to_none() -> None:
    """They send the same at the same time: either could be in either queue."""
    alike = {"VPN": PACKETS["web"], "web": PACKETS["web"]}
    assert assign(alike, [leaf("web"), leaf("web")]) is None


def test_queues_that_are_too_many_to_try_are_not_tried() -> None:
    assert assign({str(number): PACKETS["web"] for number in range(9)}, [leaf("web")] * 9) is None
