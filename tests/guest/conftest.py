"""These tests run in the guest kernel (`make test-guest`); elsewhere they skip, and fail in CI."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.guest.head_office import HeadOffice, accounted, head_office
from tests.guest.line_meter import LineMeter
from tests.guest.rekeys import Rekeyer, rekeying
from tests.guest.sites import Sites
from tests.guest.sites import sites as make_sites
from tests.guest.topology import EspTunnel, add_esp_tunnel, delete_ipsec, flush_ipsec
from tests.guest.tunnel_meter import TunnelMeter
from tests.guest.tunnel_modes import COUNTERS
from tests.netns.agent import Agent
from tests.netns.topology import Topology
from tests.netns.topology import topology as make_topology


@pytest.fixture(scope="session", autouse=True)
def _in_the_guest() -> None:
    if os.environ.get("IPSECMON_GUEST"):
        # a module here, that must be there before its sysctls and the namespaces' own
        subprocess.run(["modprobe", "ipv6"], check=True)
    elif os.environ.get("CI"):
        pytest.fail("CI must run these tests in the guest: make test-guest")
    else:
        pytest.skip("needs a kernel with ESP: make test-guest")


@pytest.fixture(scope="module")
def network() -> Iterator[Topology]:
    """lan - router - parent, silent; one for a module, as making it takes the guest seconds."""
    with make_topology("parent") as made:
        yield made


@pytest.fixture
def topology(network: Topology) -> Iterator[Topology]:
    """The network without a trace of IPsec or nft rules of an earlier test."""
    yield network
    flush_ipsec(network)
    network.run("router", "nft", "flush", "ruleset")


@pytest.fixture(scope="session")
def all_sites() -> Iterator[Sites]:
    """The network with a second site and a road warrior; one for all tests of tunnels."""
    with make_sites() as made:
        yield made


@pytest.fixture
def sites(all_sites: Sites) -> Iterator[Sites]:
    """It without a trace of an earlier test's IPsec, each SA of which had its end told."""
    yield all_sites
    delete_ipsec(all_sites)


@pytest.fixture(scope="session")
def office() -> Iterator[HeadOffice]:
    """The head office, silent and without IPsec; one for all tests that capture its line."""
    with head_office() as made:
        yield made


@pytest.fixture(scope="module")
def office_agent(office: HeadOffice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """What it says of the office's line is of this module: its words are of all that it has counted."""
    with accounted(office, tmp_path_factory.mktemp("office")) as agent:
        yield agent


@pytest.fixture(scope="module")
def line(office_agent: Agent) -> LineMeter:
    return LineMeter(office_agent)


@pytest.fixture(scope="module")
def meter(all_sites: Sites, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TunnelMeter]:
    """One agent for all tests of a module: to start one takes the guest seconds."""
    agent = Agent(all_sites, tmp_path_factory.mktemp("agent"), {"interval": "10s", "counters": COUNTERS})
    agent.start()
    yield TunnelMeter(agent)
    agent.end()
    agent.call("rules", "remove")


@pytest.fixture
def rekeyer(sites: Sites, meter: TunnelMeter) -> Iterator[Rekeyer]:
    """Of a tunnel that is there, and of which nothing is counted yet."""
    meter.start_again()
    add_esp_tunnel(sites, EspTunnel())
    with rekeying(sites, EspTunnel()) as made:
        yield made
