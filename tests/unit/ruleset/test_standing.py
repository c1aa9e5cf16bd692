"""What stands in table mangle, read from iptables-save's text, and the lines that change it."""

from __future__ import annotations

from ipsecmon.ruleset.iptables_standing import Standing, fold, hooked_to, removal, standing, unhooked
from ipsecmon.ruleset.saved import parse_saved

WEB, DNS = "be6fc5f09d", "0aabdd8889"
AGENTS = ("ipsecmon-", "ipsecmon_live-")
TEXT = f"""
*mangle
:PREROUTING ACCEPT [5:500]
:POSTROUTING ACCEPT [5:500]
:mine - [0:0]
:ipsecmon-life-0badcafe - [0:0]
:ipsecmon-made-xpq - [0:0]
:ipsecmon-sum - [0:0]
:ipsecmon-a-is-01234567 - [0:0]
:ipsecmon-a-{WEB} - [0:0]
:ipsecmon-a-leaving - [0:0]
:ipsecmon-b-{WEB} - [0:0]
[9:900] -A POSTROUTING -j ipsecmon_live-a-leaving
[7:700] -A POSTROUTING -j ipsecmon-a-leaving
[7:700] -A POSTROUTING -j mine
[0:0] -A ipsecmon-sum -m comment --comment {WEB}-1-100
[0:0] -A ipsecmon-sum -m comment --comment {DNS}-8-800
[2:200] -A ipsecmon-a-{WEB} -p udp -j NFLOG --nflog-group 5600
[3:300] -A ipsecmon-a-{WEB} ! -p udp -j NFLOG --nflog-group 5600
[5:500] -A ipsecmon-a-{WEB} -g ipsecmon-a-{DNS}
[7:700] -A ipsecmon-a-leaving -g ipsecmon-a-{WEB}
[4:400] -A ipsecmon-b-{WEB} -j NFLOG --nflog-group 5600
COMMIT
*nat
:ipsecmon-life-00000001 - [0:0]
[7:700] -A POSTROUTING -j ipsecmon-a-leaving
COMMIT
"""


def read(text: str = TEXT) -> Standing:
    return standing(parse_saved(text), "ipsecmon-", AGENTS)


def test_a_taps_value_is_its_rule_in_the_sum_and_its_copying_rules_in_every_set() -> None:
    assert read().totals() == {WEB: (10, 1000), DNS: (8, 800)}
    assert read().totals(["a"]) == {WEB: (6, 600), DNS: (8, 800)}


def test_only_chains_of_ours_in_table_mangle_are_taken_for_ours() -> None:
    now = read()
    assert (now.life, now.made) == (0x0BADCAFE, "pq")
    assert now.letters() == ["a", "b"] and now.hooked() == ["a"]
    assert all(name.startswith("ipsecmon-") for name in now.chains)


def test_another_agents_jump_may_come_first_and_a_strangers_may_not() -> None:
    assert not read().unled
    assert read(TEXT.replace("-j ipsecmon_live-a-leaving", "-j ACCEPT")).unled


def test_two_lives_are_none() -> None:
    doubled = TEXT.replace(":ipsecmon-sum", ":ipsecmon-life-00000002 - [0:0]\n:ipsecmon-sum")
    assert read(doubled).life == 0


def test_a_set_without_its_copying_rules_or_its_jump_does_not_count() -> None:
    assert read().counts()
    assert not read(TEXT.replace("-j NFLOG", "-j RETURN")).counts()
    assert not read(TEXT.replace("-A POSTROUTING -j ipsecmon-a-leaving", "-A mine -j ACCEPT")).counts()
    assert not read("").counts()


def test_a_set_stands_when_it_is_alone_whole_and_hooked() -> None:
    expected = {f"ipsecmon-a-{WEB}": ["", "", ""], "ipsecmon-a-leaving": [""]}
    jumps = "[0:0] -A PREROUTING -j ipsecmon-a-arriving\n[0:0] -A OUTPUT -j ipsecmon-a-to_many\nCOMMIT\n*nat"
    alone = "\n".join(line for line in TEXT.splitlines() if "ipsecmon-b" not in line)
    alone = alone.replace("COMMIT\n*nat", jumps)
    assert read(alone).stands("a", "01234567", expected)
    assert not read(alone).stands("a", "01234568", expected)
    assert not read(alone).stands("b", "01234567", expected)
    assert not read(alone.replace(jumps, "COMMIT\n*nat")).stands("a", "01234567", expected)
    assert not read(TEXT.replace("COMMIT\n*nat", jumps)).stands("a", "01234567", expected)


def test_folding_writes_the_sum_and_takes_the_sets_away() -> None:
    lines = fold(read(), ["b"], {WEB: (10, 1000)})
    assert lines == [
        ":ipsecmon-sum - [0:0]",
        f"-A ipsecmon-sum -m comment --comment {WEB}-10-1000",
        f"-F ipsecmon-b-{WEB}",
        f"-X ipsecmon-b-{WEB}",
    ]


def test_removal_takes_jumps_then_rules_then_chains_and_nothing_else() -> None:
    lines = removal(read())
    assert lines[0] == "-D POSTROUTING -j ipsecmon-a-leaving" == unhooked(read())[0]
    assert [line.split()[0] for line in lines] == ["-D", *["-F"] * 7, *["-X"] * 7]
    assert all(" ipsecmon-" in line for line in lines)
    assert removal(read("")) == []


def test_jumps_are_put_first() -> None:
    assert all(" 1 -j ipsecmon-b-" in line for line in hooked_to("ipsecmon-", "b"))
