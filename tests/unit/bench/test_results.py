"""The document of the bench, from made-up rounds; and the packets that the sender makes."""

from __future__ import annotations

import json
from typing import Optional

import pytest

from tests.bench.__main__ import as_document
from tests.bench.results import Round, ratios, results
from tests.bench.sender import trains

VIRTIO_HEADER, LINK_HEADER = 10, 14


def made_up(subject: str, *cpu_us: float, seen: Optional[int] = 1000) -> list[Round]:
    """Rounds of 1000 packets that cost so many microseconds each."""
    return [Round("totals", subject, 1000, seen, round(cost * 1e6)) for cost in cpu_us]


def interleaved(*subjects: list[Round]) -> list[Round]:
    return [one for together in zip(*subjects) for one in together]


def test_the_document_has_the_agreed_keys_and_no_other() -> None:
    rounds = interleaved(made_up("ipsecmon", 0.3, 0.3), made_up("ulogd2", 5, 5, seen=None))

    document = json.loads(json.dumps(as_document(rounds, {"ulogd2": "2.0.8"})))
    assert sorted(document) == ["kernel", "machine", "ratios", "results", "versions"]
    for row in document["results"]:
        assert sorted(row) == ["cpu_us_per_packet", "lost_packets", "rounds", "subject", "work"]
    for row in document["ratios"]:
        assert sorted(row) == ["max", "median", "min", "subject", "to", "work"]
    assert document["versions"] == {"ulogd2": "2.0.8"}


def test_a_result_is_the_median_cost_and_the_whole_loss() -> None:
    (row,) = results(made_up("ipsecmon", 0.2, 0.9, 0.3, seen=990))

    assert row == {
        "work": "totals",
        "subject": "ipsecmon",
        "cpu_us_per_packet": 0.3,
        "lost_packets": 30,
        "rounds": 3,
    }


def test_one_round_of_unknown_loss_makes_the_loss_unknown() -> None:
    rounds = [*made_up("ulogd2", 5), *made_up("ulogd2", 5, seen=None)]

    assert results(rounds)[0]["lost_packets"] == "unknown"


def test_a_program_that_saw_more_than_there_was_has_lost_nothing() -> None:
    assert results(made_up("uacctd-shipped", 2, seen=1001))[0]["lost_packets"] == 0


def test_ratios_are_taken_within_a_round() -> None:
    rounds = interleaved(made_up("ipsecmon", 1, 2, 4), made_up("uacctd-tuned", 2, 8, 8))

    assert ratios(rounds) == [
        {
            "work": "totals",
            "subject": "ipsecmon",
            "to": "uacctd-tuned",
            "median": 0.5,
            "min": 0.25,
            "max": 0.5,
        }
    ]


@pytest.mark.parametrize("side", ["lan", "inet"])
def test_the_sender_mixes_families_protocols_and_lengths(side: str) -> None:
    made = trains("02:00:00:00:00:01", side)

    frames = [train.frame[VIRTIO_HEADER:] for train in made]
    six = [frame for frame in frames if frame[12:14] == b"\x86\xdd"]
    four = [frame for frame in frames if frame[12:14] == b"\x08\x00"]
    assert len(six) + len(four) == len(made) and len(six) > 100 and len(four) > 300
    assert (
        {frame[LINK_HEADER + 9] for frame in four} == {frame[LINK_HEADER + 6] for frame in six} == {6, 17, 50}
    )
    assert len({len(train.frame) // train.packets for train in made}) > 200
    assert {train.packets for train in made} > set(range(1, 9))


def test_the_sender_sends_the_same_in_every_run() -> None:
    assert trains("02:00:00:00:00:01", "lan") == trains("02:00:00:00:00:01", "lan")
