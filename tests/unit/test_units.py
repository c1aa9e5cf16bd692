"""Durations, rates and volumes as people write and read them."""

from __future__ import annotations

from typing import Callable, Union

import pytest

from ipsecmon.units import (
    parse_duration,
    parse_octets,
    parse_rate,
    render_octets,
    render_rate,
    render_whole_rate,
)

Written = Union[str, float]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("5m", 300),
        ("5min", 300),
        ("1.5h", 5400),
        ("400d", 34_560_000),
        ("2w", 1_209_600),
        (" 10 s ", 10),
    ],
)
def test_a_duration_comes_to_whole_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "bits_per_s"),
    [("1544kbit", 1_544_000), ("16Mbit", 16_000_000), ("1Gbit", 10**9), ("9bit", 9), ("1.005kbit", 1005)],
)
def test_a_rate_is_in_powers_of_a_thousand(text: str, bits_per_s: int) -> None:
    assert parse_rate(text) == bits_per_s


@pytest.mark.parametrize(
    ("text", "octets"), [("16MiB", 2**24), ("4MB", 4_000_000), (512, 512), ("0", 0), ("1.5KiB", 1536)]
)
def test_a_volume_may_be_a_bare_number(text: Written, octets: int) -> None:
    assert parse_octets(text) == octets


def test_large_volumes_are_exact() -> None:
    assert parse_octets("123456789012345GiB") == 123456789012345 * 2**30


@pytest.mark.parametrize(
    "text", [10, 10.0, "", "s", "10", "-1s", "10 parsecs", "10S", "1e3s", "1s 2s", True, "0.5s"]
)
def test_what_is_no_duration_is_refused_with_what_is_allowed(text: Written) -> None:
    with pytest.raises(ValueError, match=r"not a duration: .*such as 10s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_rate, "1Mb"),
        (parse_rate, 5),
        (parse_rate, "0.5bit"),
        (parse_octets, "1.5"),
        (parse_octets, "1mib"),
    ],
)
def test_wrong_units_and_parts_of_a_unit_are_refused(parse: Callable[[Written], int], text: Written) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse(text)


def test_rates_and_volumes_are_rendered_with_one_decimal() -> None:
    assert [render_rate(value) for value in (0, 999, 1_544_000, 2e12)] == [
        "0 bit/s",
        "999 bit/s",
        "1.5 Mbit/s",
        "2.0 Tbit/s",
    ]
    assert [render_octets(value) for value in (12, 20_400_000, -1500)] == ["12 B", "20.4 MB", "-1.5 kB"]


@pytest.mark.parametrize(
    ("bits_per_s", "text"),
    [(1_544_000, "1544 kbit/s"), (16_000_000, "16 Mbit/s"), (10**9, "1 Gbit/s"), (999, "999 bit/s")],
)
def test_a_capacity_is_said_as_it_is_written(bits_per_s: int, text: str) -> None:
    assert render_whole_rate(bits_per_s) == text
