"""Names from a real strongSwan are those of the very SAs that the kernel has, before and after a rekey."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecmon.ipsec import IkeNames, SecurityAssociation
from ipsecmon.sources.ike import LIMIT_S, Daemon, IkeSource
from ipsecmon.sources.strongswan import read_strongswan
from ipsecmon.wire.ip_xfrm_text import decode_states
from tests.guest.capture import print_states
from tests.guest.ike import CHILD, CONNECTION, Charon, ike_connection
from tests.netns.topology import Topology

SOME_SLACK_S = 1.0  # the guest is slow
NAMES = frozenset((CONNECTION, CHILD))


@pytest.fixture
def charon(topology: Topology, tmp_path: Path) -> Iterator[Charon]:
    with ike_connection(topology, tmp_path) as router:
        yield router


@pytest.fixture
def source(charon: Charon) -> IkeSource:
    return IkeSource([Daemon("strongSwan", (str(charon.folder / "vici"),), read_strongswan)])


def sas(topology: Topology) -> list[SecurityAssociation]:
    """Those with keys: an acquire is none."""
    return [sa for sa in decode_states(print_states(topology)) if sa.is_keyed]


def all_named(told: IkeNames, rows: list[SecurityAssociation]) -> bool:
    return all(
        told.by_spi.get((sa.destination, sa.spi)) == told.by_reqid.get(sa.reqid) == NAMES for sa in rows
    )


def test_each_sa_has_its_names_before_and_after_rekeys(
    topology: Topology, charon: Charon, source: IkeSource
) -> None:
    seen = sas(topology)
    assert len(seen) == 2
    assert all_named(source.names(), seen)
    for _ in range(3):
        charon.rekey()
        rows = sas(topology)
        assert {sa.spi for sa in rows} - {sa.spi for sa in seen}
        assert all_named(source.names(), [*rows, *seen])  # final counters of old ones may still be to come
        seen = rows


def test_names_hold_while_the_daemon_hangs(topology: Topology, charon: Charon, source: IkeSource) -> None:
    before = source.names()
    process = int((charon.folder / "run/charon.pid").read_text())
    os.kill(process, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert source.names() == before
        assert time.monotonic() - began < LIMIT_S + SOME_SLACK_S
    finally:
        os.kill(process, signal.SIGCONT)
    assert all_named(before, sas(topology))
