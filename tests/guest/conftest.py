"""These tests run in the guest kernel (`make test-guest`); elsewhere they skip, and fail in CI."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.guest.sites import Sites
from tests.guest.sites import sites as make_sites
from tests.guest.topology import delete_ipsec, flush_ipsec
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
