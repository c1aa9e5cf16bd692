"""The text of ip(8): what the guest's printed beside netlink, other versions' lines, broken ones."""

from __future__ import annotations

import re

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import (
    AntiReplay,
    Encapsulation,
    Mark,
    Offload,
    SaFlush,
    SaNews,
    SecurityAssociation,
    Selector,
)
from ipsecmon.model import Direction
from ipsecmon.wire.ip_xfrm_text import decode_states, pull_events
from tests.unit.wire.three_ways import decode_three_ways
from tests.unit.wire.xfrm_messages import recorded_events, recorded_states, recorded_text

STATE = """src 192.0.2.1 dst 192.0.2.2
\tproto esp spi 0x00001001(4097) reqid 11(0x0000000b) mode tunnel
\treplay-window 32 seq 0x00000000 flag  (0x00000000)
\t{extra}
\tlifetime config:
\t  limit: soft (INF)(bytes), hard (INF)(bytes)
\t  limit: soft (INF)(packets), hard 9(packets)
\t  expire add: soft 0(sec), hard 30(sec)
\t  expire use: soft 0(sec), hard 0(sec)
\tlifetime current:
\t  896(bytes), 7(packets)
\t  add 2026-11-22 08:25:00 use -
\tstats:
\t  replay-window 1 replay 2 failed 3
"""


def one(extra: str) -> SecurityAssociation:
    (found,) = decode_states(STATE.format(extra=extra))
    return found


@pytest.mark.parametrize("name", ["xfrm-states", "xfrm-states-keyed"])
def test_the_text_of_the_same_sas_gives_the_same_values(name: str) -> None:
    assert decode_states(recorded_text(name)) == recorded_states()


def test_the_text_of_the_same_events_gives_the_same_values() -> None:
    text = recorded_text("xfrm-monitor")
    assert pull_events(text) == (recorded_events(), len(text))


def test_a_monitors_text_may_come_in_any_parts() -> None:
    whole = recorded_text("xfrm-monitor")
    events, rest = [], ""
    for at in range(0, len(whole), 97):
        rest += whole[at : at + 97]
        found, taken = pull_events(rest)
        events += found
        rest = rest[taken:]
    assert (events, rest) == (recorded_events(), "")


def test_a_key_that_the_monitor_prints_is_in_no_value() -> None:
    text = recorded_text("xfrm-monitor")
    assert "0xa5a5a5" in text
    assert "a5a5" not in repr(pull_events(text))


@pytest.mark.parametrize(
    ("extra", "field", "expected"),
    [
        ("dir in", "direction", Direction.IN),
        ("dir out", "direction", Direction.OUT),
        ("dir other (7)", "direction", Direction.UNKNOWN),
        ("pcpu-num 3", "cpu", 3),
        ("lastused 2024-08-29 09:30:00", "last_used_s", 1724923800),
        ("if_id 0x17", "if_id", 23),
        ("mark 0x42/0xff ", "mark", Mark(0x42, 0xFF)),
        ("mark 0/0xff ", "mark", Mark(0, 0xFF)),
        ("output-mark 0x7/0xf", "set_mark", Mark(7, 15)),
        ("output-mark 0x7", "set_mark", Mark(7, 0xFFFFFFFF)),
        (
            "encap type espintcp sport 4500 dport 1 addr ::",
            "encapsulation",
            Encapsulation("espintcp", 4500, 1, "::"),
        ),
        (
            "encap type 7 sport 1 dport 2 addr 0.0.0.0",
            "encapsulation",
            Encapsulation("espintcp", 1, 2, "0.0.0.0"),
        ),
        ("crypto offload parameters: dev eth2 dir in", "offload", Offload(True, False)),
        ("crypto offload parameters: dev eth2 dir out mode packet", "offload", Offload(False, True)),
        (
            "sel src ::/0 dst fd02::/64 proto vrrp uid 0",
            "selector",
            Selector("::/0", "fd02::/64", 112, None, None),
        ),
        ("sel src ::/0 dst ::/0 proto 200 dport 5 ", "selector", Selector("::/0", "::/0", 200, None, 5)),
        (
            "sel src ::/0 dst ::/0 proto chaos dev eth0 uid 7",
            "selector",
            Selector("::/0", "::/0", -1, None, None),
        ),
        ("anti-replay context: seq 0x7, oseq 0x9, bitmap 0x0000005b", "anti_replay", AntiReplay(7, 9, 32, 2)),
        ("anti-replay esn context:\t oseq-hi 0x1, oseq 0xa", "anti_replay", AntiReplay(0, 2**32 + 10, 0, 0)),
        ("iptfs-opts drop-time 0 reorder-window 0", "is_keyed", False),
        ("aead rfc4106(gcm(aes)) (ERROR truncated)", "is_keyed", True),
        ("security context root:system_r", "octets", 896),
    ],
)
def test_a_line_fills_its_field(extra: str, field: str, expected: object) -> None:
    assert getattr(one(extra), field) == expected


def test_without_any_of_them_the_sa_has_its_counters() -> None:
    found = one("tfcpad 7")
    assert (found.spi, found.reqid, found.octets, found.packets) == (0x1001, 11, 896, 7)
    assert (found.added_s, found.used_s) == (1795335900, None)
    assert (found.late_packets, found.replayed_packets, found.integrity_failures) == (1, 2, 3)
    assert found.lifetime == (None, None, None, 9, None, 30, None, None)


@pytest.mark.parametrize("mode", ["transport", "tunnel", "ro", "in_trigger", "beet", "iptfs", "9"])
def test_each_mode_is_read(mode: str) -> None:
    (found,) = decode_states(STATE.format(extra="").replace("mode tunnel", f"mode {mode}"))
    assert found.mode == mode


def test_a_mode_that_this_ip_has_no_name_for_has_one_all_the_same() -> None:
    (found,) = decode_states(STATE.format(extra="").replace("mode tunnel", "mode 5"))
    assert found.mode == "iptfs"


def test_the_bitmap_may_take_several_lines_and_its_last_word_comes_first() -> None:
    words = " ".join(["00000000"] * 7)
    esn = f"""anti-replay esn context:
\t seq-hi 0x0, seq 0x23, oseq-hi 0x0, oseq 0x0
\t replay_window 320, bitmap-length 10
\t 00000000 {words}
\t 00000006 ffffffff """
    assert one(esn).anti_replay == AntiReplay(35, 0, 320, 1)


def test_a_list_decodes_whole_and_is_refused_in_part() -> None:
    whole = STATE.format(extra="dir in") + STATE.format(extra="")

    decode_three_ways(
        lambda part: decode_states(part.decode("latin-1")),
        whole.encode(),
        ends=(0, len(STATE.format(extra="dir in"))),
    )


@pytest.mark.parametrize(
    ("good", "broken", "reason"),
    [
        ("src 192", "from 192", "not the beginning"),
        ("src 192", "Deleted src 192", "an event in a list"),
        ("proto esp", "proto what", "line not understood"),
        ("spi 0x00001001", "spi 0x1001", "line not understood"),
        ("896(bytes)", "-1(bytes)", "without its counters"),
        ("896(bytes)", "٣(bytes)", "without its counters"),
        ("2026-11-22", "2026-13-22", "line not understood"),
        ("replay 2 failed", "failed", "line not understood"),
        ("stats:\n\t  replay-window 1 replay 2 failed 3", "", "ip needs -s"),
        ("soft (INF)(packets)", "soft none(packets)", "line not understood"),
    ],
)
def test_a_broken_record_is_refused(good: str, broken: str, reason: str) -> None:
    text = STATE.format(extra="dir in")
    assert good in text
    with pytest.raises(DecodeError, match=reason):
        decode_states(text.replace(good, broken))


@pytest.mark.parametrize(
    "extra",
    ["00000000", "replay_window 64, bitmap-length 2", "anti-replay context: seq 0xg, oseq 0x0, bitmap 0x0"],
)
def test_a_line_without_the_one_before_it_is_refused(extra: str) -> None:
    with pytest.raises(DecodeError, match="line not understood"):
        one(extra)


@pytest.mark.parametrize(("proto", "number"), [("esp", 50), ("ipsec-any", 255), ("0", 0)])
def test_a_flush_tells_its_protocol(proto: str, number: int) -> None:
    assert pull_events(f"Flushed state proto {proto}\n")[0] == [SaFlush(number)]


def test_a_record_that_is_not_whole_yet_is_left() -> None:
    text = STATE.format(extra="dir in")
    for length in range(1, len(text)):
        assert pull_events(text[:length]) == ([], 0) or length == len(text) - 1


@pytest.mark.parametrize("head", ["", "[nsid current]", "[nsid 7]"])
def test_a_namespace_may_stand_before_a_record(head: str) -> None:
    (event,), _ = pull_events(head + STATE.format(extra=""))
    assert isinstance(event, SaNews)


def test_an_expiry_waits_for_its_last_line() -> None:
    text = "Expired " + STATE.format(extra="")
    assert pull_events(text) == ([], 0)
    assert len(pull_events(text + "\thard 1\n")[0]) == 1


def test_an_error_never_quotes_the_text() -> None:
    text = re.sub("enc cbc.*", "auth-trunc 0xdeadbeef", recorded_text("xfrm-monitor")).replace(
        "proto esp", "0xfeed"
    )
    with pytest.raises(DecodeError) as refused:
        pull_events(text)
    assert "feed" not in str(refused.value) and "dead" not in str(refused.value)
