"""The first of the inputs of `make fuzz`: the same in every run."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import broken
from tests.fuzz.targets import TARGETS

INPUTS = {
    "netlink": 10_000,
    "nflog": 10_000,
    "xfrm": 5_000,
    "ip-xfrm": 3_000,
    "xtables": 20_000,
    "saved": 20_000,
    "config": 2_000,
    "names": 5_000,
    "iptables-names": 5_000,
}


@pytest.mark.parametrize("target", TARGETS)
def test_no_damaged_input_breaks_a_promise(target: str) -> None:
    assert broken(target, 0, INPUTS[target]) == []


def test_a_broken_promise_is_told_with_the_command_that_makes_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(choose: object) -> None:
        raise IndexError("line\nbreak")

    monkeypatch.setitem(TARGETS, "nflog", fails)
    assert broken("nflog", 7, 1) == [
        r"python -m tests.fuzz nflog --first 7 --inputs 1  # 'IndexError: line\nbreak'"
    ]
