"""Increments of tunnels wait until a batch is safe."""

from __future__ import annotations

from ipsecmon.account.tunnel_books import TunnelBooks
from ipsecmon.model import TUNNEL_LEVELS, Direction, TunnelIncrement, TunnelKey

KEY = TunnelKey("vpn", "198.51.100.7", Direction.IN)


def test_sums_add_up_and_levels_are_the_newest() -> None:
    books = TunnelBooks()
    books.add([TunnelIncrement(KEY, octets=100, packets=1, rekeys=1, sas=2, last_used_s=50, added_s=40)])
    books.add([TunnelIncrement(KEY, octets=11, packets=2, sas=1, last_used_s=60, added_s=45)])

    assert books.batch() == (
        TunnelIncrement(KEY, octets=111, packets=3, rekeys=1, sas=1, last_used_s=60, added_s=45),
    )


def test_what_is_not_told_of_any_more_keeps_its_sums_and_has_no_sa() -> None:
    books = TunnelBooks()
    books.add([TunnelIncrement(KEY, octets=100, packets=1, sas=2, open_packets=3, last_used_s=50, added_s=4)])
    books.add([])

    assert books.batch() == (TunnelIncrement(KEY, octets=100, packets=1, last_used_s=50),)


def test_a_closed_interval_leaves_nothing() -> None:
    books = TunnelBooks()
    books.add([TunnelIncrement(KEY, octets=100)])
    books.close()

    assert books.batch() == ()


def test_every_number_is_a_sum_or_a_level() -> None:
    assert set(TUNNEL_LEVELS) < set(TunnelIncrement.__dataclass_fields__)
