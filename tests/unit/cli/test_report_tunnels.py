"""Tunnels in a report of a range."""

from __future__ import annotations

from rich.console import Console

from ipsecmon.cli.report_tunnels import describe_tunnels, tunnel_section
from ipsecmon.model import UNNAMED, TunnelIncrement
from tests.unit.cli.tunnel_cases import IN, OUT, UNKNOWN, VPN, row


def drawn(*totals: TunnelIncrement) -> list[list[str]]:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(tunnel_section(totals))
    return [line.split() for line in captured.get().splitlines() if line.strip()]


def test_both_directions_stand_side_by_side_and_unnamed_last() -> None:
    totals = [row(IN, 5, 1, tunnel=UNNAMED).total, row(IN, 7_000, 70).total, row(OUT, 5_000, 50).total]
    rows = drawn(*totals)
    assert rows[0] == ["tunnels,", "inside,", "by", "SA", "counters"]
    assert rows[-2:] == [[VPN, "7,000", "5,000", "70", "50"], [UNNAMED, "5", "0", "1", "0"]]


def test_columns_of_what_did_not_happen_are_left_out() -> None:
    assert "bound" not in drawn(row(IN, 7, 1).total)[1]
    rows = drawn(row(IN, 7, 1, error_bound_octets=99).total, row(UNKNOWN, 8, 1).total)
    assert rows[1][-3:] == ["unknown", "error", "bound"]
    assert rows[-1] == [VPN, "7", "0", "1", "0", "8", "99"]


def test_json_has_a_row_a_tunnel_and_direction() -> None:
    totals = [row(IN, 7, 1, peer="203.0.113.1").total, row(IN, 8, 1, peer="203.0.113.2").total]
    (told,) = describe_tunnels(totals)
    assert (told["name"], told["direction"], told["octets"], told["packets"]) == (VPN, "in", 15, 2)
