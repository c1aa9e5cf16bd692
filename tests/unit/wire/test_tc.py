"""Qdiscs, classes and filters: answers and news of real kernels, made-up ones, and broken ones."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import Message, pull_messages
from ipsecmon.wire.tc import (
    ROOT,
    TcObject,
    What,
    decode_tc,
    encode_tc_dump,
    is_deletion,
    render_handle,
    render_parent,
)
from ipsecmon.wire.tc_config import read_config
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import attribute, message
from tests.unit.wire.three_ways import decode_three_ways

FRAME = 100 + 28 + 14  # of a UDP packet with 100 octets
RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER = 36, 37, 44
TCMSG = struct.pack("=BxxxiIII", 0, 7, 0x10000, ROOT, 0)
KIND, OPTIONS, STATS2 = 1, 2, 7
BASIC, QUEUE, APP, PACKETS64 = 1, 3, 4, 8


def objects(name: str) -> Iterator[tuple[Message, TcObject]]:
    for datagram in load(name):
        for found in pull_messages(datagram):
            one = decode_tc(datagram, found)
            if one is not None:
                yield found, one


def named(name: str, what: What) -> dict[str, TcObject]:
    return {
        render_handle(one.handle, what): one
        for found, one in objects(name)
        if one.what is what and not is_deletion(found) and one.kind != "noqueue"
    }


def alone(datagram: bytes) -> object:
    """Decode a datagram of one message."""
    pulled = list(pull_messages(datagram))
    if len(pulled) != 1:
        raise DecodeError("not one message", 0)
    return decode_tc(datagram, pulled[0])


def qdisc(kind: str, *stats: bytes, options: bytes = b"", number: int = RTM_NEWQDISC) -> bytes:
    values = attribute(KIND, kind.encode() + b"\0") + attribute(OPTIONS, options)
    return message(number, TCMSG + values + attribute(STATS2, b"".join(stats)))


def counted(datagram: bytes) -> TcObject:
    one = alone(datagram)
    assert isinstance(one, TcObject)
    return one


def test_a_real_tree_is_read_with_what_it_counted() -> None:
    qdiscs, classes = named("tc-htb", What.QDISC), named("tc-htb", What.CLASS)

    root = qdiscs["1:"].stats
    assert root is not None and (root.packets, root.octets) == (5, 5 * FRAME)
    assert {one.kind for one in qdiscs.values()} == {"htb", "tbf", "ingress"}
    served, idle = classes["1:10"].stats, classes["1:20"].stats
    assert served is not None and served.extras == {"lends": 5, "borrows": 0}
    assert idle is not None and idle.packets == 0
    assert classes["1:10"].config.words == (("rate", "1544kbit"), ("ceil", "10Mbit"))
    assert render_parent(qdiscs["1:"].parent) == "root"
    assert render_parent(qdiscs["ffff:"].parent) == "ffff:fff1"


def test_the_end_of_a_qdisc_has_its_last_numbers() -> None:
    (end,) = (one for found, one in objects("tc-htb") if is_deletion(found))

    assert end.stats is not None
    assert (end.kind, end.stats.packets, end.stats.octets) == ("htb", 5, 5 * FRAME)


def test_a_redirect_says_where_it_leads() -> None:
    leads = [one.config.redirect for _, one in objects("tc-htb") if one.what is What.FILTER]

    assert [one for one in leads if one is not None] == [1]  # lo


def test_fq_codel_has_numbers_of_its_own() -> None:
    stats = named("tc-fq-codel", What.QDISC)["1:"].stats

    assert stats is not None and stats.packets == 5
    assert stats.extras == {"ecn_marks": 0, "new_flows": 0, "memory_drops": 0}  # none had to wait
    made_up = counted(qdisc("fq_codel", attribute(APP, struct.pack("=I9I", 0, *range(1, 10))))).stats
    assert made_up is not None and made_up.extras == {"ecn_marks": 3, "new_flows": 4, "memory_drops": 9}
    a_flow = counted(qdisc("fq_codel", attribute(APP, struct.pack("=I9I", 1, *range(1, 10))))).stats
    assert a_flow is not None and a_flow.extras == {}


def test_packets_beyond_32_bit_and_marks_of_all_tins_are_told() -> None:
    basic = attribute(BASIC, struct.pack("=QI", 9, 1))
    large = attribute(PACKETS64, struct.pack("=Q", (1 << 32) + 1))
    tins = b"".join(
        attribute(number, attribute(8, struct.pack("=I", marks))) for number, marks in ((1, 3), (2, 4))
    )
    queue = attribute(QUEUE, struct.pack("=IIIII", 1, 2, 3, 4, 5))
    stats = counted(qdisc("cake", basic, large, queue, attribute(APP, attribute(10, tins)))).stats

    assert stats is not None and stats.packets == (1 << 32) + 1
    assert (stats.backlog_packets, stats.backlog_octets, stats.drops) == (1, 2, 3)
    assert (stats.requeues, stats.overlimits, stats.extras) == (4, 5, {"ecn_marks": 7})


def test_counters_in_options_do_not_change_the_digest() -> None:
    def htb(default: int, direct: int) -> str:
        return read_config("qdisc", "htb", attribute(2, struct.pack("=5I", 3, 10, default, 0, direct))).digest

    assert htb(20, 0) == htb(20, 77) != htb(30, 0)


@pytest.mark.parametrize(("autorate", "is_same"), [(0, False), (1, True)])
def test_a_rate_that_cake_sets_itself_is_no_configuration(autorate: int, is_same: bool) -> None:
    digests = {
        read_config(
            "qdisc", "cake", attribute(2, struct.pack("=Q", rate)) + attribute(9, struct.pack("=I", autorate))
        ).digest
        for rate in (1000, 2000)
    }
    assert (len(digests) == 1) is is_same


def test_times_and_numbers_of_an_action_do_not_change_the_digest() -> None:
    def matchall(index: int, bindings: int, used: int, device: int) -> str:
        parms = struct.pack("=IIiiiiI", index, 0, 4, 1, bindings, 1, device)
        times = struct.pack("=4Q", used, used, 0, used)
        action = attribute(1, b"mirred\0") + attribute(2, attribute(1, times) + attribute(2, parms))
        return read_config("filter", "matchall", attribute(2, attribute(1, action))).digest

    assert matchall(1, 1, 0, 5) == matchall(9, 2, 1234, 5) != matchall(1, 1, 0, 6)


def test_of_an_unknown_kind_of_filter_only_that_it_is_there_counts() -> None:
    assert read_config("filter", "flow", b"anything") == read_config("filter", "flow", b"")


@pytest.mark.parametrize(("what", "kind"), [("qdisc", "htb"), ("class", "tbf"), ("filter", "u32")])
def test_options_that_break_their_form_are_no_reason_not_to_count(what: str, kind: str) -> None:
    assert read_config(what, kind, b"\1") == read_config(what, kind, b"\1\0\7\0")


def test_an_object_is_decoded_whole_or_refused() -> None:
    stats = attribute(BASIC, struct.pack("=QI", 1, 2)) + attribute(
        QUEUE, struct.pack("=IIIII", 1, 2, 3, 4, 5)
    )
    decode_three_ways(alone, qdisc("fq_codel", stats, attribute(APP, struct.pack("=I9I", 0, *range(9)))))


@pytest.mark.parametrize(
    "broken",
    [
        message(RTM_NEWQDISC, TCMSG[:-4]),
        message(RTM_NEWQDISC, TCMSG + attribute(OPTIONS, b"")),
        qdisc("tbf", attribute(BASIC, bytes(11))),
        qdisc("tbf", attribute(QUEUE, bytes(19))),
        qdisc("htb", attribute(APP, bytes(16))),
        message(RTM_NEWTFILTER, TCMSG + attribute(KIND, b"u32\0") + attribute(11, bytes(3))),
    ],
)
def test_what_breaks_the_format_is_refused(broken: bytes) -> None:
    with pytest.raises(DecodeError):
        alone(broken)


@given(
    st.sampled_from(range(36, 48)),
    st.sampled_from(
        ["htb", "tbf", "cake", "fq_codel", "netem", "sfq", "red", "u32", "flower", "fw", "x\x1b"]
    ),
    st.binary(max_size=120),
    st.binary(max_size=120),
)
def test_any_octets_are_an_object_or_a_decode_error(
    number: int, kind: str, options: bytes, stats: bytes
) -> None:
    try:
        alone(qdisc(kind, stats, options=options, number=number))
    except DecodeError:
        pass


@given(st.binary(max_size=80))
def test_any_body_is_an_object_or_a_decode_error(body: bytes) -> None:
    try:
        alone(message(RTM_DELQDISC, body))
    except DecodeError:
        pass


def test_other_messages_are_none_of_ours() -> None:
    assert alone(message(48, b"an action")) is None
    assert alone(message(RTM_NEWQDISC + 2, b"a request")) is None


def test_a_dump_asks_for_what_is_wanted() -> None:
    (found,) = pull_messages(encode_tc_dump(What.CLASS, 9, ifindex=3))
    assert (found.kind, found.flags, found.sequence) == (42, 0x301, 9)
