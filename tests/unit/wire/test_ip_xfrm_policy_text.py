"""The text of policies: what the guest's ip(8) printed beside netlink, other versions' lines, broken ones."""

from __future__ import annotations

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import Mark, Policy, Template
from ipsecmon.wire.ip_xfrm_policy_text import decode_policies
from tests.unit.wire.three_ways import decode_three_ways
from tests.unit.wire.xfrm_messages import recorded_policies, recorded_text

POLICY = """src 10.1.0.0/24 dst 10.2.0.0/24 proto tcp dport 443 {selector}
\t{kind} out {action}priority 7 ptype main{flags}
\t{extra}
\ttmpl src 192.0.2.1 dst 192.0.2.2
\t\tproto esp {spi}reqid 15 mode {mode}
\t\tlevel {level}
\t{last}
"""
PLAIN = {
    "selector": "",
    "kind": "dir",
    "action": "",
    "flags": " ",
    "extra": "tfcpad 7",
    "spi": "",
    "mode": "tunnel",
    "level": "required",
    "last": "",
}


def one(**said: str) -> Policy:
    (found,) = decode_policies(POLICY.format(**{**PLAIN, **said}))
    return found


def test_the_text_of_the_same_policies_gives_the_same_values() -> None:
    policies = decode_policies(recorded_text("xfrm-policies"))
    assert policies == recorded_policies()
    assert len(policies) == 7


def test_a_policy_has_its_selector_and_its_template() -> None:
    found = one()
    assert found.selector == ("10.1.0.0/24", "10.2.0.0/24", 6, None, 443)
    assert (found.direction, found.priority, found.is_socket, found.is_blocking) == ("out", 7, False, False)
    assert found.templates == (Template("192.0.2.1", "192.0.2.2", 2, 0, 50, "tunnel", 15, False),)
    assert (found.mark, found.if_id) == (Mark(0, 0), 0)


@pytest.mark.parametrize(
    ("said", "field", "expected"),
    [
        ({"kind": "socket"}, "is_socket", True),
        ({"action": "action block "}, "is_blocking", True),
        ({"action": "action allow index 41 "}, "is_blocking", False),
        ({"action": "action 7 "}, "is_blocking", False),
        ({"flags": " share any flag  (0x00000000)"}, "priority", 7),
        ({"selector": "dev eth0 uid 0"}, "direction", "out"),
        ({"extra": "mark 0x42/0xff "}, "mark", Mark(0x42, 0xFF)),
        ({"extra": "mark 0/0xff "}, "mark", Mark(0, 0xFF)),
        ({"last": "if_id 0x17"}, "if_id", 23),
        ({"extra": "security context system_u:object_r:ipsec_spd_t:s0 "}, "direction", "out"),
        ({"last": "crypto offload parameters: dev eth2 mode packet"}, "if_id", 0),
    ],
)
def test_a_line_fills_its_field(said: dict[str, str], field: str, expected: object) -> None:
    assert getattr(one(**said), field) == expected


@pytest.mark.parametrize(
    ("said", "field", "expected"),
    [
        ({"spi": "spi 0x00001007 "}, "spi", 0x1007),
        ({"spi": "spi 0x00001007(4103) "}, "spi", 0x1007),
        ({"mode": "iptfs"}, "mode", "iptfs"),
        ({"mode": "5"}, "mode", "iptfs"),
        ({"level": "use "}, "is_optional", True),
        ({"level": "use share any "}, "is_optional", True),
        ({"level": "required share any "}, "is_optional", False),
        ({"level": "3 "}, "is_optional", True),
    ],
)
def test_a_templates_line_fills_its_field(said: dict[str, str], field: str, expected: object) -> None:
    (template,) = one(**said).templates
    assert getattr(template, field) == expected


def test_a_level_is_of_the_template_before_it() -> None:
    first, second = decode_policies(recorded_text("xfrm-policies"))[2].templates
    assert (first.protocol, first.is_optional) == (108, True)
    assert (second.protocol, second.is_optional) == (50, False)


def test_a_list_decodes_whole_and_is_refused_in_part() -> None:
    blocking = "src ::/0 dst ::/0 \n\tdir in action block priority 4294967290 ptype main flag localok icmp\n"
    whole = blocking + "src 10.9.0.0/16 dst 0.0.0.0/0 \n\tdir fwd priority 0 ptype main \n"

    decode_three_ways(
        lambda part: decode_policies(part.decode("latin-1")), whole.encode(), ends=(0, len(blocking))
    )


@pytest.mark.parametrize(
    ("good", "broken", "reason"),
    [
        ("src 10.1", "from 10.1", "not the beginning"),
        ("src 10.1", "\tsrc 10.1", "text before the first policy"),
        ("dport 443", "dport https", "selector not understood"),
        ("dir out", "dir across", "line not understood"),
        ("priority 7", "priority 4294967296", "line not understood"),
        ("priority 7", "priority -7", "line not understood"),
        ("\tdir out", "\tnothing", "policy cut short"),
        ("proto esp", "proto 256", "line not understood"),
        ("proto esp", "proto what", "line not understood"),
        ("reqid 15", "reqid 4294967296", "line not understood"),
        ("\t\tproto esp", "\t\tnothing", "policy cut short"),
        ("tmpl src 192.0.2.1", "tmpl src ::", "line not understood"),
        ("\ttmpl src 192.0.2.1 dst 192.0.2.2\n", "", "line not understood"),
        ("level required", "level best", "line not understood"),
    ],
)
def test_a_broken_policy_is_refused(good: str, broken: str, reason: str) -> None:
    text = POLICY.format(**PLAIN)
    assert good in text
    with pytest.raises(DecodeError, match=reason):
        decode_policies(text.replace(good, broken, 1))
