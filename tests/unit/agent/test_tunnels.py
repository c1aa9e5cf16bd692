"""SAs from a source to increments: what is asked when, and what happens where the source fails."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Optional

import pytest

from ipsecmon.account.spi_book import Spi
from ipsecmon.account.tunnel_match import NO_NAMES, TunnelRule
from ipsecmon.agent.doctor_facts import Offloaded
from ipsecmon.agent.observe import Counters
from ipsecmon.agent.tunnels import MAX_ENDS, NAME_TRIES, Outside, TunnelMeter
from ipsecmon.errors import HelperAway, HelperGone, SourceError
from ipsecmon.ipsec import (
    IkeNames,
    Offload,
    Policy,
    SaEnd,
    SaEvent,
    SaFlush,
    SaNews,
    SavedSas,
    SecurityAssociation,
    XfrmErrors,
)
from ipsecmon.model import UNNAMED, CounterKey, Direction, Increment, ObservationPoint, TunnelKey
from ipsecmon.sa_table import SaTable
from tests.unit.account.simulated_xfrm import OWN, State
from tests.unit.agent.made_up import SteppedClock
from tests.unit.wire.both_ends import TablesOfRows

PEER = "198.51.100.7"
VPN = TunnelRule("vpn", peers=frozenset((PEER,)))
OUT = TunnelKey("vpn", PEER, Direction.OUT)


def sa(octets: int, packets: int = 0, spi: int = 0x100, added_s: int = 1) -> SecurityAssociation:
    return State(OWN[0], PEER, spi, 1, added_s, octets, packets or octets // 100).sa()


class Dump(NamedTuple):
    sas: SaTable
    policies: Optional[list[Policy]]


class Heard(NamedTuple):
    events: list[SaEvent]
    has_missed: bool


@dataclass
class Source:
    """What the test says the kernel has."""

    sas: list[SecurityAssociation] = field(default_factory=list)
    _tables: TablesOfRows = field(default_factory=TablesOfRows)
    events: list[SaEvent] = field(default_factory=list)
    has_missed: bool = False
    trouble: Optional[Exception] = None
    policies: Optional[list[Policy]] = None
    deaf: Optional[Exception] = None
    reader: str = "netlink"

    def start(self) -> None:
        if self.trouble:
            raise self.trouble

    def dump(self) -> Dump:
        if self.trouble:
            raise self.trouble
        policies, self.policies = self.policies, None
        return Dump(self._tables.table(list(self.sas)), policies)

    def hear(self) -> Heard:
        if self.deaf:
            raise self.deaf
        heard = Heard(self.events, self.has_missed)
        self.events, self.has_missed = [], False
        return heard


class World:
    """asked: how often each of what is outside was."""

    def __init__(self, source: Source, rule: TunnelRule = VPN, saved: SavedSas = SavedSas()) -> None:  # noqa: B008
        self.source = source
        self.counts = Counters()
        self.errors = {"XfrmInNoStates": 5}
        self.asked = {"addresses": 0, "names": 0}
        self.known = NO_NAMES
        clock = SteppedClock()
        outside = Outside(self.addresses, self.names, lambda: XfrmErrors(tuple(self.errors.items())))
        self.meter = TunnelMeter(source, [rule], outside, self.counts, clock)
        self.meter.start(saved)

    def addresses(self) -> tuple[str, ...]:
        self.asked["addresses"] += 1
        return OWN

    def names(self) -> IkeNames:
        self.asked["names"] += 1
        return self.known

    def poll(self, seen: int = 0) -> bool:
        """seen: octets that the rule counter of the tunnel has seen by then."""
        has_unheard = self.meter.read()
        counted = [Increment(CounterKey("vpn", Direction.OUT, ObservationPoint.WIRE), seen, seen // 100)]
        self.meter.settle(counted, counted)
        return has_unheard


def test_what_an_sa_carried_since_the_first_poll_is_told_until_it_is_safe() -> None:
    world = World(Source([sa(9000)]))
    world.poll()
    world.source.sas = [sa(9500)]
    world.poll()
    world.source.sas = [sa(9700)]
    world.poll()

    (told,) = world.meter.increments()
    assert (told.key, told.octets, told.packets, told.sas) == (OUT, 700, 7, 1)
    world.meter.close()
    assert world.meter.increments() == ()


def test_a_rekey_between_two_polls_loses_nothing() -> None:
    world = World(Source([sa(9000)]))
    world.poll()
    world.source.events = [SaNews(sa(0, spi=0x200, added_s=7), False), SaEnd(sa(9900), False)]
    world.meter.hear()
    world.source.sas = [sa(300, spi=0x200, added_s=7)]
    assert world.poll() is False

    (told,) = world.meter.increments()
    assert (told.octets, told.rekeys, told.ends, told.error_bound_octets) == (1200, 1, 1, 0)


def test_after_a_flush_the_counters_since_before_the_last_poll_are_the_bound() -> None:
    world = World(Source([sa(9000)]))
    world.poll(seen=50_000)
    world.source.sas = [sa(9500)]
    world.poll(seen=51_000)
    world.source.sas, world.source.events = [], [SaFlush(0)]
    assert world.poll(seen=51_800) is True

    (told,) = world.meter.increments()
    assert (told.octets, told.error_bound_octets, told.unseen_ends) == (500, 800, 1)
    assert world.counts.totals()["xfrm.flushes"] == 1


def test_missed_events_make_the_counters_be_read_again() -> None:
    world = World(Source([sa(9000)]))
    world.poll()
    world.source.has_missed = True
    world.meter.hear()
    assert world.poll() is True
    assert world.poll() is False


def test_what_passed_while_the_helper_was_away_comes_with_the_next_poll(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(Source([sa(9000)]))
    world.poll()
    world.source.trouble = HelperAway("away")
    for _ in range(3):
        world.poll()
        assert world.meter.saved().awaited == {sa(9000).id}, "rule counters moved on: no bound"
    assert world.meter.describe()["error"] == "away"
    world.source.trouble = None
    world.source.sas = [sa(9900)]
    world.poll()

    assert [one.octets for one in world.meter.increments()] == [900]
    assert caplog.text.count("SAs cannot be read") == 1
    assert world.counts.totals()["xfrm.failed-reads"] == 3
    assert world.meter.describe() == {"reader": "netlink", "sas": 1, "error": ""}


def test_an_end_is_booked_and_saved_while_sas_cannot_be_read() -> None:
    world = World(Source([sa(9000), sa(500, spi=0x200)]))
    world.poll()
    world.source.trouble = SourceError("too many")
    world.source.events = [SaEnd(sa(9900), False)]
    world.meter.hear()
    world.poll()

    (told,) = world.meter.increments()
    assert (told.octets, told.ends, told.sas) == (900, 1, 1)
    assert world.meter.saved().sas == (sa(500, spi=0x200),)


def test_what_waits_for_its_batch_is_saved_with_it_though_sas_cannot_be_read_by_then() -> None:
    first = World(Source([sa(9000)]))
    first.poll()
    first.meter.close()
    first.source.sas = [sa(9500)]
    first.poll()  # its batch is refused
    first.source.trouble = HelperAway("away")
    first.poll()
    assert [one.octets for one in first.meter.increments()] == [500]

    world = World(Source([sa(9600)]), saved=first.meter.saved())
    world.poll()
    assert [one.octets for one in world.meter.increments()] == [100]


def test_a_helper_that_is_away_at_the_start_is_asked_again() -> None:
    world = World(Source([sa(9400)], trouble=HelperAway("away")), saved=SavedSas((sa(9000),), since_s=5))
    world.poll()
    world.source.trouble = None
    world.poll()
    assert [one.octets for one in world.meter.increments()] == [400]


def test_sas_that_an_agent_could_not_read_have_no_bound_for_the_next_one() -> None:
    saved = SavedSas((sa(9000),), since_s=5)
    world = World(Source(trouble=SourceError("no XFRM in this kernel")), saved=saved)
    world.poll()
    assert world.meter.saved() == saved.without_bound()


def test_policies_of_a_poll_that_failed_are_learnt_by_the_next_one() -> None:
    world = World(Source([sa(9000)]))
    world.poll()
    world.source.policies, world.source.deaf = [], HelperAway("away")
    world.poll()
    world.source.deaf = None
    world.poll()
    assert world.asked["addresses"] == 2


def test_without_its_helper_for_good_the_agent_ends() -> None:
    world = World(Source())
    world.source.trouble = HelperGone("gone")
    with pytest.raises(HelperGone):
        world.meter.read()


def test_a_kernel_without_xfrm_is_said_once_and_costs_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World(Source(trouble=SourceError("no XFRM in this kernel")))
    world.meter.hear()
    assert world.poll() is False
    assert world.meter.increments() == () and world.meter.errors() == ()
    assert world.meter.saved() == SavedSas()
    assert caplog.text.count("no XFRM in this kernel") == 1


def test_places_are_found_anew_only_where_something_may_have_changed() -> None:
    world = World(Source([sa(9000)]))
    world.poll()
    world.poll()
    assert world.asked == {"addresses": 1, "names": 0}
    world.source.events = [SaNews(sa(0, spi=0x200), False)]
    world.poll()
    world.source.policies = []
    world.poll()
    assert world.asked == {"addresses": 3, "names": 0}


def test_ike_daemons_are_asked_only_where_a_tunnel_is_named_by_a_connection() -> None:
    world = World(Source([sa(9000)]), TunnelRule("vpn", connections=frozenset(("berlin",))))
    world.poll()
    assert world.asked["names"] == 1


def test_a_daemon_that_does_not_name_an_sa_yet_is_asked_again_for_some_time() -> None:
    world = World(Source([sa(9000)]), TunnelRule("vpn", connections=frozenset(("berlin",))))
    world.poll()
    world.known = IkeNames({(PEER, 0x100): frozenset(("berlin",))}, {})
    world.source.sas = [sa(9500)]
    world.poll()
    assert {one.key.tunnel: one.octets for one in world.meter.increments() if one.sas} == {"vpn": 500}
    world.poll()
    assert world.asked["names"] == 2

    world.source.sas.append(sa(0, spi=0x200))  # of no daemon
    world.source.events = [SaNews(sa(0, spi=0x200), False)]
    for _ in range(NAME_TRIES + 5):
        world.poll()
    assert world.asked["names"] == 2 + 1 + NAME_TRIES


def test_names_are_asked_for_as_soon_as_other_rules_want_them() -> None:
    world = World(Source([sa(9000)]))
    world.poll()
    world.meter.change([TunnelRule("vpn", connections=frozenset(("berlin",)))])
    world.poll()
    assert world.asked["names"] == 1


def test_the_next_agent_goes_on_from_what_the_last_one_saved() -> None:
    first = World(Source([sa(9000)]))
    first.poll()
    saved = first.meter.saved()
    assert saved is not None
    world = World(Source([sa(9400)]), saved=saved)
    world.poll()

    (told,) = world.meter.increments()
    assert (told.octets, told.bridged_octets) == (400, 400)


def test_other_rules_name_what_passes_from_now_on() -> None:
    world = World(Source([sa(9000)]))
    world.poll()
    world.meter.close()
    world.meter.change([])
    world.source.sas = [sa(9100)]
    world.poll()
    assert {one.key.tunnel: one.octets for one in world.meter.increments() if one.sas} == {UNNAMED: 100}


def test_where_rules_were_changed_meanwhile_nothing_bounds_an_end() -> None:
    world = World(Source([sa(9000)]))
    world.poll(seen=50_000)
    world.meter.change([VPN, TunnelRule("other")])
    world.source.sas, world.source.events = [], [SaFlush(0)]
    world.poll(seen=50_100)
    (told,) = world.meter.increments()
    assert (told.error_bound_octets, told.unseen_ends, told.unbounded_ends) == (0, 1, 1)


def test_the_same_rules_again_bound_as_before() -> None:
    world = World(Source([sa(9000)]))
    world.poll(seen=50_000)
    world.meter.change([VPN])
    world.source.sas, world.source.events = [], [SaFlush(0)]
    world.poll(seen=50_100)
    (told,) = world.meter.increments()
    assert (told.error_bound_octets, told.unseen_ends, told.unbounded_ends) == (100, 1, 0)


def test_errors_of_xfrm_are_told_by_what_came_since_the_last_batch() -> None:
    world = World(Source())
    world.poll()
    assert world.meter.errors() == ()
    world.errors["XfrmInNoStates"] = 8
    world.errors["XfrmInStateSeqError"] = 2
    world.poll()
    assert world.meter.errors() == (("XfrmInNoStates", 3), ("XfrmInStateSeqError", 2))
    world.meter.close()
    assert world.meter.errors() == ()


def test_sas_with_hardware_offload_are_counted_by_direction() -> None:
    offloads = [Offload(True, False), Offload(False, True), Offload(False, False), None]
    sas = [sa(100, spi=number)._replace(offload=one) for number, one in enumerate(offloads, 0x100)]
    world = World(Source(sas))
    assert world.meter.offloaded == Offloaded()
    world.poll()
    assert world.meter.offloaded == Offloaded(inbound=1, outbound=2, full=1)
    world.source.sas = sas[3:]
    world.poll()
    assert world.meter.offloaded == Offloaded()


def owner(world: World, spi: int) -> set[str]:
    spis = world.meter.spis()
    assert spis is not None
    return set(spis.tunnels(Spi(bytes(10) + b"\xff\xff" + ipaddress.ip_address(PEER).packed, spi)))


def test_whose_an_spi_is_is_told_of_sas_alive_and_of_those_that_ended_lately() -> None:
    world = World(Source([sa(0)]))
    world.poll()
    world.source.events = [SaNews(sa(0, spi=0x200), False), SaEnd(sa(100, spi=0x200), False)]
    world.source.events += [SaNews(sa(0, spi=0x300), False)]
    world.source.sas = [sa(0), sa(0, spi=0x300)]
    world.poll()

    assert owner(world, 0x100) == owner(world, 0x200) == owner(world, 0x300) == {"vpn"}
    assert owner(world, 0x400) == set()
    for _ in range(3):
        world.poll()
    assert (owner(world, 0x200), owner(world, 0x300)) == (set(), {"vpn"})


def test_whose_an_spi_is_is_not_told_while_sas_cannot_be_read() -> None:
    world = World(Source([sa(0)]))
    world.poll()
    world.source.trouble = SourceError("no")
    world.poll()
    assert world.meter.spis() is None

    world.source.trouble = None
    world.poll()
    assert owner(world, 0x100) == {"vpn"}


def test_what_is_of_no_sa_may_be_of_one_that_was_not_heard_of() -> None:
    world = World(Source([sa(0)]))
    known = []
    for has_missed in (False, False, True, False):  # the first one may have been too late for an end
        world.source.has_missed = has_missed
        world.meter.hear()
        world.poll()
        known.append(world.meter.knows_every_sa)

    assert known == [False, True, False, True]


def test_an_spi_is_of_the_tunnel_that_other_rules_name() -> None:
    world = World(Source([sa(0)]))
    world.poll()
    world.meter.change([replace(VPN, name="other")])
    world.poll()

    assert owner(world, 0x100) == {"other"}


def test_outer_addresses_are_told_to_the_doctor_up_to_a_limit() -> None:
    world = World(Source([sa(100)]))
    world.poll()
    assert world.meter.ends == sorted([OWN[0], PEER])
    peers = [f"198.51.{number // 256}.{number % 256}" for number in range(2 * MAX_ENDS)]
    world.source.sas = [
        State(OWN[0], peer, 0x100 + number, 1, 1, 0, 0).sa() for number, peer in enumerate(peers)
    ]
    world.poll()

    assert len(world.meter.ends) == MAX_ENDS
