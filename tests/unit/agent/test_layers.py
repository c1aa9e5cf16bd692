"""The meter of layers: what it opens, reads, saves and says, over restarts and refusals of the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import pytest

from ipsecmon.account.carried import NOTHING_CARRIED
from ipsecmon.agent.layers import LayerMeter, Told
from ipsecmon.agent.observe import Counters
from ipsecmon.errors import SourceError
from ipsecmon.links import Link, LinkCounts, LinkEnd, LinkEvent, LinkNews, LinkPeer
from ipsecmon.model import Batch, CounterKey, Layer
from ipsecmon.sources.links import L2tp, LinkDump, LinkHeard
from ipsecmon.store import SavedReading

INSIDE = {"warriors": Layer.L2TP}
EMPTY = Batch("gw", 0, 10, ())


class Kernel:
    """Interfaces and news as a test sets them. error: what it refuses everything with."""

    def __init__(self, boot: str = "boot-1") -> None:
        self.boot = boot
        self.links: list[Link] = []
        self.news: list[LinkEvent] = []
        self.error = ""
        self.is_open = False

    def start(self) -> None:
        self._refuse()
        self.is_open = True

    def stop(self) -> None:
        self.is_open = False

    def dump(self) -> LinkDump:
        self._refuse()
        peers = [LinkPeer(one.ifindex, f"10.9.0.{one.ifindex}") for one in self.links]
        return LinkDump([*map(LinkNews, self.links), *peers], is_whole=True)

    def hear(self) -> LinkHeard:
        self._refuse()
        news, self.news = self.news, []
        return LinkHeard(news, has_missed=False)

    def _refuse(self) -> None:
        if self.error:
            raise SourceError(self.error)


def ppp(ifindex: int, packets: int) -> Link:
    return Link(ifindex, f"ppp{ifindex}", "ppp", LinkCounts(100 * packets, packets, 0, 0))


def meter(
    kernel: Kernel,
    saved: Optional[Mapping[CounterKey, SavedReading]] = None,
    inside: Mapping[str, Layer] = INSIDE,
    counts: Optional[Counters] = None,
) -> LayerMeter:
    told = Told(lambda: L2tp(None, frozenset()), lambda: {"10.9.0.5": "anna"}, lambda name: name == "ppp9")
    made = LayerMeter(kernel, inside, told, counts or Counters())
    made.start(saved or {})
    return made


def read(made: LayerMeter) -> dict[str, tuple[int, int]]:
    """Packets in, and of these bridged, by who had them, since the last time."""
    made.read(NOTHING_CARRIED)
    found = {
        one.key.link: (one.packets, one.bridged_packets)
        for one in made.complete(EMPTY).layers
        if one.key.direction.value == "in"
    }
    made.close()
    return found


def saved(made: LayerMeter, at_ns: int = 10) -> dict[CounterKey, SavedReading]:
    """As the store keeps it."""
    return {one.key: SavedReading(one.octets, one.packets, one.birth, at_ns) for one in made.saved()}


def test_without_a_counter_with_inside_nothing_is_opened_or_read() -> None:
    kernel = Kernel()
    kernel.error = "never asked"
    made = meter(kernel, inside={})
    made.hear()
    assert read(made) == {}
    assert made.saved() == []
    assert made.describe()["error"] == ""


def test_sessions_are_counted_by_who_has_them_and_pppoe_is_none() -> None:
    kernel = Kernel()
    made = meter(kernel)
    read(made)
    kernel.links = [ppp(5, 10), ppp(6, 3), ppp(9, 1000)]
    assert read(made) == {"anna": (10, 0), "10.9.0.6": (3, 0)}
    assert made.describe()["unclaimed"] == ["ppp9"]


def test_a_hangup_that_was_heard_between_two_polls_is_whole() -> None:
    kernel = Kernel()
    made = meter(kernel)
    kernel.links = [ppp(5, 10)]
    read(made)
    kernel.links, kernel.news = [], [LinkEnd(ppp(5, 25))]
    made.hear()
    assert read(made) == {"anna": (15, 0)}


def test_the_next_agent_goes_on_from_what_was_saved() -> None:
    kernel = Kernel()
    kernel.links = [ppp(5, 10)]
    made = meter(kernel)
    read(made)
    kernel.links = [ppp(5, 30), ppp(7, 4)]
    assert read(meter(kernel, saved(made))) == {"anna": (20, 20), "10.9.0.7": (4, 4)}


def test_a_saved_reading_of_an_interface_that_had_ended_before_is_left_alone() -> None:
    kernel = Kernel()
    kernel.links = [ppp(5, 10), ppp(6, 10)]
    first = meter(kernel)
    read(first)
    old = saved(first, at_ns=10)
    kernel.links, kernel.news = [ppp(6, 11)], [LinkEnd(ppp(5, 10))]
    read(first)
    counts = Counters()
    assert read(meter(kernel, {**old, **saved(first, at_ns=20)}, counts=counts)) == {"10.9.0.6": (0, 0)}
    assert counts.totals() == {}


def test_after_a_reboot_everything_was_made_since() -> None:
    kernel = Kernel()
    kernel.links = [ppp(5, 1000)]
    made = meter(kernel)
    read(made)
    again = Kernel("boot-2")
    again.links = [ppp(5, 8)]
    assert read(meter(again, saved(made))) == {"anna": (8, 8)}


def test_an_end_while_no_agent_ran_is_counted_as_unseen() -> None:
    kernel = Kernel()
    kernel.links = [ppp(5, 10)]
    made = meter(kernel)
    read(made)
    kernel.links = []
    counts = Counters()
    read(meter(kernel, saved(made), counts=counts))
    assert counts.totals() == {"links.unseen-ends": 1}


@pytest.mark.parametrize("at_start", [True, False])
def test_what_passes_while_the_kernel_refuses_is_bridged_by_its_counters(at_start: bool) -> None:
    kernel, counts = Kernel(), Counters()
    kernel.links = [ppp(5, 10)]
    kernel.error = "no memory" if at_start else ""
    made = meter(kernel, counts=counts)
    read(made)
    kernel.error = "no memory"
    assert read(made) == {}
    assert made.describe()["error"] == "no memory"
    kernel.error, kernel.links = "", [ppp(5, 17)]
    assert read(made) == {"anna": (0 if at_start else 7, 0)}
    assert counts.totals()["links.failed-reads"] >= 1
    assert made.describe()["error"] == ""


def test_a_reload_that_asks_for_layers_begins_with_a_baseline() -> None:
    kernel = Kernel()
    kernel.links = [ppp(5, 1000)]
    made = meter(kernel, inside={})
    made.change(INSIDE, Told(lambda: L2tp(None, frozenset()), dict, lambda name: False))
    assert read(made) == {"10.9.0.5": (0, 0)}
    kernel.links = [ppp(5, 1002)]
    assert read(made) == {"10.9.0.5": (2, 0)}
