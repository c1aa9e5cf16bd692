"""News of interfaces from this machine's kernel, and what is said when more came than the socket held."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.links import LinkEnd, LinkNews
from ipsecmon.sources import links
from ipsecmon.sources.links import LinkSource
from ipsecmon.wire import links as wire_links
from tests.netns.agent import in_namespace
from tests.netns.namespaces import Namespaces

PAIR = "link add pair0 type veth peer name pair1\n"


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespaces]:
    """An empty one. This kernel has no GRE and no PPP: here veth is a tunnel's interface."""
    monkeypatch.setattr(wire_links, "KINDS", frozenset({"veth"}))
    with Namespaces("router") as made, in_namespace(made.name("router")):
        yield made


@pytest.fixture
def source(router: Namespaces) -> Iterator[LinkSource]:
    made = LinkSource(Counters())
    made.start()
    yield made
    made.stop()


def test_an_interface_is_in_a_dump_and_its_end_is_heard(router: Namespaces, source: LinkSource) -> None:
    router.ip("router", PAIR)
    found = [one.link.name for one in source.dump().events if isinstance(one, LinkNews)]
    assert sorted(found) == ["pair0", "pair1"]
    router.ip("router", "link del pair0\n")
    heard = source.hear()
    assert {one.link.name for one in heard.events if isinstance(one, LinkEnd)} == {"pair0", "pair1"}
    assert not heard.has_missed
    assert source.dump().events == []


def test_more_news_than_the_socket_holds_are_said_to_be_missed(
    router: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_BUFFER", 2048)
    counts = Counters()
    source = LinkSource(counts)
    source.start()
    try:
        router.ip("router", PAIR + "link set pair0 up\nlink set pair0 down\n" * 20)
        assert source.hear().has_missed
        assert counts.totals() == {"links.missed-events": 1}
        assert not source.hear().has_missed
    finally:
        source.stop()
