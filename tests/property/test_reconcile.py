"""The meters' agreement against any numbers: nothing negative is lost, and parts make the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.account.reconcile import reconcile, reconcile_copies, reconcile_tunnel
from ipsecmon.model import (
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    TunnelIncrement,
    TunnelKey,
    Word,
)

IN = Direction.IN
VPN = CounterKey("VPN", IN, ObservationPoint.INNER)
NS = 10**9

numbers = st.integers(0, 2**45)
lengths_ns = st.integers(0, 2**62)
rules = st.builds(Increment, st.just(VPN), *[numbers] * 8)
tunnels = st.builds(
    TunnelIncrement,
    st.builds(TunnelKey, st.just("VPN"), st.sampled_from("ab"), st.sampled_from(Direction)),
    *[numbers] * 11,
)
packets = st.lists(st.integers(20, 65_535), max_size=30)


@given(rules | st.none(), st.lists(tunnels, max_size=4), lengths_ns, st.integers(0, 2**40))
def test_what_is_explained_and_what_is_not_make_the_difference(
    rule: Increment, sas: list[TunnelIncrement], length_ns: int, skew_ns: int
) -> None:
    for one in reconcile([rule] if rule else [], sas, length_ns, skew_ns):
        assert one.lost_packets >= 0
        assert one.explained_octets + one.unexplained_octets == one.difference_octets
        assert (one.word is Word.DISAGREE) == (one.unexplained_octets != 0)
        assert one.reason is not None or not one.explained_octets


@given(packets, packets, packets, packets, st.data())
def test_copies_that_took_any_way_that_is_known_never_disagree(
    seen: list[int], lost: list[int], pending: list[int], bridged: list[int], data: st.DataObject
) -> None:
    """earlier: were on their way when the span began; of bridged ones the octets may not be known."""
    earlier = data.draw(packets)
    sized = data.draw(st.integers(0, len(bridged)))
    everything = [*seen, *lost, *pending, *bridged]
    found = reconcile_copies(
        Increment(
            VPN,
            octets=sum(everything),
            packets=len(everything),
            nflog_octets=sum(seen) + sum(earlier),
            nflog_packets=len(seen) + len(earlier),
            lost_packets=len(lost),
            pending_packets=len(pending),
            bridged_octets=sum(bridged[:sized]),
            bridged_packets=len(bridged),
        )
    )
    assert found.word is not Word.DISAGREE


@given(st.lists(st.integers(1, 44), min_size=1, max_size=200), st.integers(40, 120), st.integers(0, 1380))
def test_any_merging_of_packets_is_explained_by_the_octet(
    merged: list[int], header: int, payload: int
) -> None:
    """merged: how many packets of the wire made each one that the rule saw."""
    sas = TunnelIncrement(TunnelKey("VPN", "a", IN), sum(merged) * (header + payload), sum(merged))
    rule = Increment(VPN, len(merged) * header + sum(merged) * payload, len(merged))
    found = reconcile_tunnel(VPN, [sas], rule, 10 * NS)
    assert found.unexplained_octets == 0
    assert found.explained_octets == (sum(merged) - len(merged)) * header


@given(st.lists(st.integers(1, 1500), max_size=50), st.lists(st.booleans(), min_size=50, max_size=50))
def test_skew_leaves_nothing_in_a_sum_that_ends_at_rest(sizes: list[int], late: list[bool]) -> None:
    """late: packets that the rule's reading of the first interval missed, and the second one has."""
    first = [size for size, is_late in zip(sizes, late) if not is_late]
    second = [size for size, is_late in zip(sizes, late) if is_late]
    sas = TunnelIncrement(TunnelKey("VPN", "a", IN), sum(sizes), len(sizes))
    rules = [Increment(VPN, sum(part), len(part)) for part in (first, second)]
    apart = [reconcile_tunnel(VPN, ones, rule, 10 * NS) for ones, rule in zip(([sas], []), rules)]
    together = reconcile_tunnel(VPN, [sas], Increment(VPN, sum(sizes), len(sizes)), 20 * NS)
    assert sum(one.difference_octets for one in apart) == together.difference_octets == 0
    assert together.word is Word.AGREE
