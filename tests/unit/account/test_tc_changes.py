"""What differs between two configurations, in words."""

from __future__ import annotations

from ipsecmon.account.tc_changes import differences, sentence
from ipsecmon.qos import MAX_EVENT_TEXT, QueueConfig, event_text


def qdisc(kind: str, handle: str, parent: str = "root", digest: str = "d", place: str = "") -> QueueConfig:
    words = {"rate": "5Mbit"} if kind == "tbf" else {}
    return QueueConfig("qdisc", kind, handle, parent, place or handle, f"{digest}@{parent}", words)


def htb_class(handle: str, rate: str = "1Mbit", parent: str = "1:") -> QueueConfig:
    return QueueConfig("class", "htb", handle, parent, handle, f"{rate}@{parent}", {"rate": rate})


def a_filter(digest: str, parent: str = "1:") -> QueueConfig:
    return QueueConfig("filter", "u32", "", parent, "1:0/10800/0", digest, {})


HTB = [qdisc("htb", "1:"), htb_class("1:1"), htb_class("1:10"), htb_class("1:20")]


def test_the_same_is_no_difference() -> None:
    assert differences(HTB, list(HTB)) == []
    assert differences([], []) == []


def test_a_replaced_root_is_told_with_its_classes_alone() -> None:
    assert differences([qdisc("tbf", "9:")], HTB) == ["root tbf 9: replaced by htb 1: with 3 classes"]
    assert differences(HTB, [qdisc("tbf", "9:")]) == ["root htb 1: replaced by tbf 9: rate 5Mbit"]
    assert differences(HTB, []) == ["root htb 1: with 3 classes removed"]
    assert differences([], [qdisc("tbf", "9:")]) == ["root tbf 9: rate 5Mbit added"]


def test_a_number_of_the_kernel_s_is_no_difference() -> None:
    old, new = (qdisc("tbf", handle, place="(root):0") for handle in ("8001:", "8002:"))
    assert differences([old], [new]) == []


def test_a_default_that_comes_with_the_interface_is_no_difference() -> None:
    default = qdisc("fq_codel", "0:")
    assert differences([], [default]) == differences([default], []) == []
    assert differences([default], [qdisc("pfifo_fast", "0:")]) == ["root fq_codel replaced by pfifo_fast"]


def test_classes_and_filters_are_told_one_by_one() -> None:
    now = [HTB[0], htb_class("1:1"), htb_class("1:10", "2Mbit"), htb_class("1:30", parent="1:1")]
    assert differences([*HTB, a_filter("a")], [*now, a_filter("b")]) == [
        "class 1:20 (htb) removed",
        "class 1:10 (htb) rate 1Mbit -> 2Mbit",
        "class 1:30 (htb) rate 1Mbit added",
        "filters of 1: changed",
    ]
    assert differences(HTB, [*HTB, a_filter("a")]) == ["filters of 1: (0 -> 1)"]


def test_the_order_of_filters_is_a_difference() -> None:
    one, other = a_filter("a"), a_filter("b")
    assert differences([one, other], [other, one]) == ["filters of 1: changed"]


def test_a_class_that_moves_and_options_without_words_are_told() -> None:
    moved = [*HTB[:2], htb_class("1:10", parent="1:1"), HTB[3]]
    assert differences(HTB, moved) == ["class 1:10 (htb) moved from 1:"]
    assert differences(HTB, [qdisc("htb", "1:", digest="e"), *HTB[1:]]) == [
        "qdisc htb 1: at root options changed"
    ]


def test_a_sentence_is_bounded_and_plain() -> None:
    said = sentence("wan0", [f"class 1:{number} (htb) removed" for number in range(90)], "while no agent ran")
    assert said.endswith("class 1:5 (htb) removed; and 84 more (while no agent ran)")
    assert event_text("a\x1b[31m\n\tb\u202e") == "a [31m b"
    assert len(event_text("x" * 1000)) == MAX_EVENT_TEXT
