"""ESP that no rule saw: told by numbers only, exact where nothing else went unseen, and never made up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.account.derived import LEAST_ADDED, MOST_ADDED, DerivedEsp
from ipsecmon.model import (
    UNNAMED,
    Batch,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    TunnelIncrement,
    TunnelKey,
)

IN, OUT = Direction.IN, Direction.OUT
WIRE, NIC, LINK = ObservationPoint.WIRE, ObservationPoint.NIC, ObservationPoint.LINK_HEADERS
SHARE, DERIVED = ObservationPoint.ESP_SHARE, ObservationPoint.DERIVED
ADDED = 56  # octets a packet: AES-GCM in a tunnel over IPv4
NS = 10**9
Volumes = dict[str, tuple[int, int]]  # octets, packets


def interval(
    sas: Volumes, rules: Volumes, frames: tuple[int, int], shares: Optional[Volumes] = None
) -> Batch:
    """sas: inner. frames: IP octets of what passed the interface, and how many. 10 s, under Ethernet."""
    octets, number = frames
    increments = [
        Increment(CounterKey("T1", IN, WIRE), *(sum(column) for column in zip((0, 0), *rules.values()))),
        *(Increment(CounterKey(name, IN, WIRE), *volume) for name, volume in rules.items()),
        *(Increment(CounterKey(name, IN, SHARE), *volume) for name, volume in (shares or {}).items()),
        Increment(CounterKey("wan0", IN, NIC), octets + 14 * number, number),
        Increment(CounterKey("wan0", IN, LINK), 14 * number, number),
        Increment(CounterKey("wan0", OUT, NIC), 10**9, 10**6),
    ]
    tunnels = [TunnelIncrement(TunnelKey(name, "peer", IN), *volume) for name, volume in sas.items()]
    return Batch("gw", 0, 10 * NS, tuple(increments), tunnels=tuple(tunnels))


def derived(meter: DerivedEsp, *batches: Batch) -> Volumes:
    """Sums of what each said, from the second interval of a run on."""
    meter.derive(interval({}, {}, (0, 0)), ["T1"])
    meter.close()
    found: Volumes = {}
    for batch in batches:
        for one in meter.derive(batch, ["T1"]):
            assert (one.key.direction, one.key.observed_at) == (IN, DERIVED)
            had = found.get(one.key.name, (0, 0))
            found[one.key.name] = (had[0] + one.octets, had[1] + one.packets)
        meter.close()
    return found


@pytest.fixture
def meter() -> DerivedEsp:
    return DerivedEsp()


def test_esp_that_no_rule_saw_is_what_the_interface_has_more(meter: DerivedEsp) -> None:
    blind = interval({"vpn": (100_000, 100)}, {"esp": (0, 0), "web": (5000, 5)}, (110_600, 105))

    assert derived(meter, blind) == {"vpn": (105_600, 100)}


def test_of_tunnels_that_no_rule_is_known_to_count_nothing_is_derived(meter: DerivedEsp) -> None:
    """`rules: manual`: a counter of the administrator's, which does not say that it is this tunnel's ESP. The
    interface was read late, so it has some of what the rules have had before."""
    batch = interval({UNNAMED: (20_000, 20)}, {"office": (2112, 2), "rest": (0, 0)}, (21_120, 20))

    assert derived(DerivedEsp(), batch) == {"esp": (19_008, 18)}, "with rules of our own it is"
    for _ in range(2):
        assert meter.derive(batch, ["T1"], ["office", "rest"]) == []
        meter.close()


def test_where_rules_saw_all_nothing_is_derived(meter: DerivedEsp) -> None:
    seen = interval({"vpn": (100_000, 100)}, {"vpn": (105_600, 100), "web": (5000, 5)}, (110_600, 105))

    assert derived(meter, seen, seen) == {}


def test_sas_of_another_interface_than_the_line_are_not_its_esp(meter: DerivedEsp) -> None:
    elsewhere = interval({"vpn": (100_000, 100)}, {"esp": (0, 0), "web": (5000, 5)}, (5_000, 5))

    assert derived(meter, elsewhere) == {}


def test_frames_that_are_too_small_for_what_sas_carried_are_not_esp(meter: DerivedEsp) -> None:
    arp = interval({"vpn": (100_000, 100)}, {"esp": (0, 0)}, (2_800, 100))

    assert derived(meter, arp) == {}


def test_arp_beside_it_is_not_taken_for_esp(meter: DerivedEsp) -> None:
    blind = interval({"vpn": (100_000, 100)}, {"esp": (0, 0)}, (105_600 + 3 * 28, 103))

    assert derived(meter, blind) == {"vpn": (105_600, 100)}


def test_what_is_more_than_esp_can_be_is_left_unexplained(meter: DerivedEsp) -> None:
    """A flowtable hides clear packets at the same time."""
    blind = interval({"vpn": (100_000, 100)}, {"esp": (0, 0)}, (1_000_000, 1000))

    assert derived(meter, blind) == {"vpn": (100_000 + MOST_ADDED * 100, 100)}


def test_tunnels_have_of_it_by_their_sas_and_what_is_of_none_is_the_rest_s(meter: DerivedEsp) -> None:
    sas = {"a": (100_000, 100), "b": (20_000, 200), UNNAMED: (50_000, 50)}
    blind = interval(sas, {"esp": (0, 0)}, (170_000 + 350 * ADDED, 350))

    assert derived(meter, blind) == {
        "a": (100_000 + 100 * ADDED, 100),
        "b": (20_000 + 200 * ADDED, 200),
        "esp": (50_000 + 50 * ADDED, 50),
    }


def test_a_tunnel_that_rules_still_see_has_nothing_derived(meter: DerivedEsp) -> None:
    """NAT-T is not decrypted early, ESP beside it is; and shares are what rules saw of their tunnels."""
    sas = {"esp-one": (100_000, 100), "natt-one": (20_000, 200), "shared": (10_000, 10)}
    seen = {"natt-one": (20_000 + 200 * ADDED, 200), "esp": (10_000 + 10 * ADDED, 10)}
    frames = (130_000 + 310 * ADDED, 310)
    blind = interval(sas, seen, frames, shares={"shared": (10_000 + 10 * ADDED, 10)})

    assert derived(meter, blind) == {"esp-one": (100_000 + 100 * ADDED, 100)}


def test_a_packet_between_two_readings_is_no_blindness(meter: DerivedEsp) -> None:
    late = interval({"vpn": (101_000, 101)}, {"vpn": (105_600, 100)}, (105_600, 100))

    assert derived(meter, late, late) == {}


def test_what_one_meter_reads_late_is_in_the_next_interval(meter: DerivedEsp) -> None:
    """SAs are read after the interface: two packets are in one interval here and in the next one there."""
    first = interval({"vpn": (102_000, 102)}, {"esp": (0, 0)}, (100 * 1056, 100))
    second = interval({"vpn": (98_000, 98)}, {"esp": (0, 0)}, (100 * 1056, 100))

    assert derived(meter, first, second) == {"vpn": (200 * 1056, 200)}


def test_once_rules_are_blind_a_single_packet_is_derived_and_silence_changes_nothing(
    meter: DerivedEsp,
) -> None:
    blind = interval({"vpn": (100_000, 100)}, {"esp": (0, 0)}, (105_600, 100))
    one = interval({"vpn": (1000, 1)}, {"esp": (0, 0)}, (1056, 1))
    silence = interval({}, {"esp": (0, 0)}, (28, 1))

    assert derived(meter, one) == {}
    assert derived(meter, blind, silence, silence, one) == {"vpn": (106_656, 101)}


def test_when_rules_see_again_it_is_over(meter: DerivedEsp) -> None:
    blind = interval({"vpn": (100_000, 100)}, {"vpn": (0, 0)}, (105_600, 100))
    seen = interval({"vpn": (100_000, 100)}, {"vpn": (105_600, 100)}, (105_600, 100))
    late = interval({"vpn": (101_000, 101)}, {"vpn": (105_600, 100)}, (105_600, 100))

    assert derived(meter, blind, seen, late) == {"vpn": (105_600, 100)}


def test_a_batch_that_the_store_refuses_is_derived_again(meter: DerivedEsp) -> None:
    blind = interval({"vpn": (100_000, 100)}, {"esp": (0, 0)}, (105_600, 100))
    derived(meter)

    assert meter.derive(blind, ["T1"]) == meter.derive(blind, ["T1"])


def test_of_several_lines_nobody_knows_on_which_it_came(meter: DerivedEsp) -> None:
    blind = interval({"vpn": (100_000, 100)}, {"esp": (0, 0)}, (105_600, 100))
    derived(meter)

    assert meter.derive(blind, ["T1", "T2"]) == []


volumes = st.lists(st.tuples(st.integers(28, 1400), st.integers(1, 300)), min_size=1, max_size=4)


@given(st.lists(volumes, min_size=1, max_size=5), st.integers(LEAST_ADDED, MOST_ADDED))
def test_over_any_intervals_all_of_it_is_derived_and_nothing_more(
    intervals: Iterable[list[tuple[int, int]]], added: int
) -> None:
    """Tunnels of packets of one size each, and of one cipher."""
    batches = []
    octets = packets = 0
    for tunnels in intervals:
        sas = {f"t{number}": (size * count, count) for number, (size, count) in enumerate(tunnels)}
        count = sum(one for _, one in sas.values())
        frames = sum(one for one, _ in sas.values()) + added * count
        octets, packets = octets + frames, packets + count
        batches.append(interval(sas, {"esp": (0, 0)}, (frames, count)))
    found = derived(DerivedEsp(), interval({"t0": (10**6, 1000)}, {}, (10**6 + 1000 * added, 1000)), *batches)

    assert sum(one for one, _ in found.values()) == octets + 10**6 + 1000 * added
    assert sum(one for _, one in found.values()) == packets + 1000
