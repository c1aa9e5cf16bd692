"""Every verb with iptables, both flavours, by rule counters and by nfacct, on the kernel in a namespace."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.errors import RulesRefused
from ipsecmon.helper.backends import Rules, resolve
from ipsecmon.helper.client import Helper
from ipsecmon.helper.iptables_limits import limits
from ipsecmon.helper.rules import Condition
from ipsecmon.helper.xtables import Xtables
from ipsecmon.model import CounterKey, Direction, ObservationPoint
from ipsecmon.ruleset.model import Part, Plan, object_name
from tests.unit.ruleset.plans import rich_plan, small_plan

from .conftest import require_root
from .namespaced import WAN, in_namespace_of, namespaced, send_leaving

WEB, OTHER = (
    object_name(CounterKey(name, Direction.OUT, ObservationPoint.WIRE)).rpartition("_")[2]
    for name in ("web", "other")
)
WAYS = [(backend, nfacct) for backend in ("iptables-nft", "iptables-legacy") for nfacct in ("auto", "off")]
FEW = pytest.mark.parametrize(
    "plan", [("iptables-nft", "off"), ("iptables-legacy", "auto")], indirect=True, ids="-nfacct-".join
)
SAVES = "for p in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do $p-save; done"
FOREIGN = """
{0} -t mangle -A PREROUTING -p tcp -j ACCEPT
{0} -t mangle -N mine
{0} -t mangle -A POSTROUTING -j mine
{0} -t mangle -A mine -m comment --comment 'a rule of mine' -j MARK --set-mark 0x5
{0} -t filter -A INPUT -p udp -j ACCEPT
"""


@pytest.fixture(params=WAYS, ids="-nfacct-".join)
def plan(request: pytest.FixtureRequest) -> Plan:
    backend, nfacct = request.param
    return replace(small_plan(), backend=backend, nfacct=nfacct)


@pytest.fixture
def helper(tmp_path: Path, plan: Plan) -> Iterator[Helper]:
    require_root("iptables-nft", "iptables-legacy")
    with namespaced(tmp_path, plan) as made:
        made.counters()  # it is in its namespace by now
        in_namespace_of(made, WAN)
        yield made


def values(helper: Helper) -> dict[str, tuple[int, int]]:
    return {one.name: (one.octets, one.packets) for one in helper.counters().counters}


def listed(helper: Helper) -> str:
    """All rules, less what is no rule: comments with dates, and the counters of policies."""
    saved = in_namespace_of(helper, SAVES)
    lines = [line.partition(" [")[0] for line in saved.splitlines() if not line.startswith("#")]
    return "\n".join(lines) + in_namespace_of(helper, "nft list ruleset")


def test_rules_are_applied_verified_and_removed(helper: Helper, plan: Plan) -> None:
    assert not helper.rules_stand()
    assert helper.counters().table == 0
    applied = helper.apply_rules()
    assert (applied.backend, list(applied.notes)) == (plan.backend, [])
    assert helper.rules_stand()
    assert set(values(helper)) == {tap.object_name.rpartition("_")[2] for tap in plan.taps()}
    helper.remove_rules()
    helper.remove_rules()
    assert not helper.rules_stand()
    assert helper.counters().table == 0


@FEW
@pytest.mark.parametrize("foreign", ["", "iptables-nft", "iptables-legacy", "ip6tables-nft"])
def test_removal_leaves_what_was_there_before(helper: Helper, plan: Plan, foreign: str) -> None:
    if foreign:
        in_namespace_of(helper, FOREIGN.format(foreign))
    if plan.backend == "iptables-legacy":  # a legacy table can't be taken away again
        in_namespace_of(helper, "iptables-legacy-save -t mangle; ip6tables-legacy-save -t mangle")
    before = listed(helper)
    helper.apply_rules()
    helper.apply_rules()
    assert listed(helper) != before
    helper.remove_rules()
    assert listed(helper) == before


def test_what_leaves_is_counted_once_and_replacing_rules_keeps_the_values(helper: Helper) -> None:
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    assert values(helper)[OTHER] == (500, 5)
    assert sum(packets for _, packets in values(helper).values()) == 5
    life = helper.counters().table
    for number in range(3):
        helper.apply_rules()
        send_leaving(helper, 9999, 1)
        assert values(helper)[OTHER] == (600 + 100 * number, 6 + number)
    assert helper.counters().table == life
    assert helper.rules_stand()


def test_replaced_rules_stand_whatever_their_predecessors_had_counted(helper: Helper) -> None:
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    in_namespace_of(helper, "iptables-nft -t filter -A INPUT -p udp -j ACCEPT")  # rules are looked at anew
    assert values(helper)[OTHER] == (500, 5)
    helper.apply_rules()
    assert values(helper)[OTHER] == (500, 5)
    assert helper.rules_stand()


def test_ike_on_port_4500_is_told_behind_ip_options_too(tmp_path: Path, plan: Plan) -> None:
    """Non-ESP marker, keepalive, ESP; each without options and with a route record of 40 octets."""
    program = (
        "import socket\n"
        'for options in (b"", bytes([7, 39, 4, *bytes(36), 0])):\n'
        "  s = socket.socket(2, 2); s.setsockopt(1, 2, 1)\n"
        '  s.setsockopt(0, 4, options); s.bind(("", 4500))\n'
        '  for body in (bytes(4) + b"ike", b"\\xff", b"\\0\\0\\0\\1esp", b"\\0\\0\\0", b"\\xff" * 9):\n'
        '    s.sendto(body, ("203.0.113.9", 4500))\n'
    )
    rich = replace(rich_plan(), interfaces=("wan0",), backend=plan.backend, nfacct=plan.nfacct)
    with namespaced(tmp_path, rich) as helper:
        helper.counters()
        in_namespace_of(helper, WAN)
        helper.apply_rules()
        in_namespace_of(helper, f"{sys.executable} -I -S - <<'END'\n{program}END")
        found = {
            tap.name: values(helper)[tap.object_name.rpartition("_")[2]][1]
            for tap in rich.taps()
            if tap.direction is Direction.OUT
        }
    assert (found["ike"], found["nat-t"]) == (4, 6)


def test_another_helper_goes_on_from_the_same_values(helper: Helper, plan: Plan, tmp_path: Path) -> None:
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    smaller = replace(plan, parts=tuple(part for part in plan.parts if part.tap.name != "web"))
    with namespaced(tmp_path, smaller, beside=helper.pid) as successor:
        assert not successor.rules_stand()
        assert successor.counters().table == helper.counters().table
        successor.apply_rules()
        assert successor.rules_stand()
        send_leaving(helper, 9999, 1)
        assert values(successor)[OTHER] == (600, 6)
    assert not helper.rules_stand()


@FEW
@pytest.mark.parametrize(
    "damage",
    [
        "-F",
        "-F; {0} -t mangle -X",
        "-D POSTROUTING 1",
        "-F ipsecmon-a-line_out",
        "-I POSTROUTING 1 -j ACCEPT",
        "-I ipsecmon-a-line_out 1 -j ACCEPT",
        "-S > /dev/null; printf '*mangle\nCOMMIT\n' | {0}-restore",  # as firewall scripts reload
        "-D OUTPUT 1; {0} -t mangle -I OUTPUT -j ipsecmon-a-leaving",
        "-A POSTROUTING -j ipsecmon-a-leaving",
    ],
)
def test_somebody_elses_change_is_noticed_and_mended_and_no_value_falls(
    helper: Helper, plan: Plan, damage: str
) -> None:
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    before = helper.counters()
    in_namespace_of(helper, f"{plan.backend} -t mangle {damage.format(plan.backend)}")
    assert helper.rules_condition() == Condition(stand=False, whole=False)
    helper.apply_rules()
    assert helper.rules_stand()
    send_leaving(helper, 9999, 2)
    after = helper.counters()
    assert after.table == before.table and after.generation != before.generation
    assert values(helper)[OTHER] == (700, 7)


def test_values_that_somebody_restored_from_a_dump_are_not_counted_again(helper: Helper, plan: Plan) -> None:
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    dump = in_namespace_of(helper, f"{plan.backend}-save -c > /tmp/$$; echo /tmp/$$").strip()
    send_leaving(helper, 9999, 5)
    assert values(helper)[OTHER] == (1000, 10)
    in_namespace_of(helper, f"{plan.backend}-restore -c < {dump}")
    assert values(helper)[OTHER] == (1000, 10)
    helper.rules_stand() or helper.apply_rules()
    send_leaving(helper, 9999, 1)
    assert values(helper)[OTHER] == (1100, 11)
    assert helper.rules_stand()


def test_the_rich_plan_is_taken(tmp_path: Path, plan: Plan) -> None:
    rich = replace(rich_plan(), backend=plan.backend, nfacct=plan.nfacct)
    with namespaced(tmp_path, rich) as helper:
        helper.apply_rules()
        assert helper.rules_stand()


def test_two_agents_of_ours_stand_beside_each_other(helper: Helper, plan: Plan, tmp_path: Path) -> None:
    helper.apply_rules()
    before = listed(helper)
    live = replace(plan, table="ipsecmon_live", parts=tuple(renumbered(plan)))
    with namespaced(tmp_path, replace(live, tunnels=()), beside=helper.pid) as beside:
        beside.apply_rules()
        assert beside.rules_stand() and helper.rules_stand()
        helper.apply_rules()
        assert beside.rules_stand() and helper.rules_stand()
        beside.remove_rules()
    assert helper.rules_stand()
    helper.apply_rules()
    assert [line for line in listed(helper).splitlines() if "live" in line] == []
    assert "ipsecmon-" in before


def renumbered(plan: Plan) -> list[Part]:
    return [replace(part, tap=replace(part.tap, group=part.tap.group + 1000)) for part in plan.parts]


def test_a_set_that_was_left_behind_by_a_kill_is_counted_once_and_goes(helper: Helper, plan: Plan) -> None:
    """Between the switch and the end of a replacement there are two sets."""
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    flavour = plan.backend
    in_namespace_of(
        helper,
        f"{flavour}-save -c -t mangle | sed 's/ipsecmon-a-/ipsecmon-b-/g; /ipsecmon-[lms]/d;"
        f" s/-A \\([PO][A-Z]*\\) -j/-I \\1 1 -j/; s/^\\[[0-9:]*\\] -I/-I/' | {flavour}-restore --noflush -c;"
        f"for c in PREROUTING:arriving OUTPUT:to_many POSTROUTING:leaving;"
        f" do {flavour} -t mangle -D ${{c%:*}} -j ipsecmon-a-${{c#*:}}; done",
    )
    counted = values(helper)[OTHER]
    assert counted in ((500, 5), (1000, 10))  # by nfacct; by the rules, whose copies were given values too
    assert not helper.rules_stand()
    helper.apply_rules()
    assert helper.rules_stand()
    send_leaving(helper, 9999, 1)
    assert values(helper)[OTHER] == (counted[0] + 100, counted[1] + 1)


def test_nfacct_that_is_turned_off_or_on_begins_a_new_life(
    helper: Helper, plan: Plan, tmp_path: Path
) -> None:
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    life = helper.counters().table
    other = replace(plan, nfacct="off" if plan.nfacct == "auto" else "auto")
    with namespaced(tmp_path, other, beside=helper.pid) as successor:
        successor.apply_rules()
        assert successor.rules_stand()
        assert successor.counters().table != life
        assert values(successor)[OTHER] == (0, 0)
        send_leaving(successor, 9999, 2)
        assert values(successor)[OTHER] == (200, 2)
        successor.remove_rules()


@pytest.mark.parametrize(
    ("programs", "wanted", "resolved"),
    [
        ("nft iptables-nft iptables-legacy", "auto", "nft"),
        ("iptables-nft iptables-legacy", "auto", "iptables-nft"),
        ("iptables-legacy", "auto", "iptables-legacy"),
        ("", "auto", "nft"),
        ("nft iptables-nft iptables-legacy", "iptables", "iptables-nft"),
        ("nft iptables-legacy", "iptables", "iptables-legacy"),
        ("iptables-nft iptables-legacy", "iptables-legacy", "iptables-legacy"),
    ],
)
def test_auto_takes_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: str, wanted: str, resolved: str
) -> None:
    require_root("nft", "iptables-nft", "iptables-legacy")
    for name in programs.split():
        for program in [name] if name == "nft" else [f"{name}-restore", f"{name}-save"]:
            (tmp_path / program).symlink_to(f"/usr/sbin/{program}")
    monkeypatch.setattr("ipsecmon.helper.programs._FOLDERS", (str(tmp_path),))
    assert resolve(wanted) == resolved


def test_auto_goes_on_to_iptables_where_nft_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nft").symlink_to("/bin/false")
    for program in ("iptables-restore", "iptables-save"):  # as `iptables` of an old system is called
        (tmp_path / program).symlink_to(f"/usr/sbin/iptables-legacy{program[8:]}")
    monkeypatch.setattr("ipsecmon.helper.programs._FOLDERS", (str(tmp_path), "/nonexistent"))
    assert resolve("auto") == "iptables-legacy"


def test_without_ip6tables_ipv6_is_left_out_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("iptables-nft-restore", "iptables-nft-save"):
        (folder / name).symlink_to(f"/usr/sbin/{name}")
    monkeypatch.setattr("ipsecmon.helper.programs._FOLDERS", (str(folder),))
    tables = [Xtables.found("nft", family) for family in (4, 6)]
    assert tables[0] is not None and tables[1] is None
    assert "ip6tables is not installed: IPv6 is not counted" in limits(small_plan(), [tables[0]])


def test_without_iptables_the_error_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipsecmon.helper.programs._FOLDERS", (str(tmp_path),))
    for backend in ("iptables", "iptables-nft", "iptables-legacy"):
        with pytest.raises(RulesRefused, match="is not installed: install the package iptables"):
            Rules(replace(small_plan(), backend=backend)).stand()


def test_an_ordinary_user_is_told_that_legacy_needs_root(tmp_path: Path, plan: Plan) -> None:
    """CAP_NET_ADMIN alone, without root's files and CAP_NET_RAW."""
    if plan.backend != "iptables-legacy":
        return
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from ipsecmon.errors import RulesRefused\n"
        "from ipsecmon.helper.xtables import Xtables\n"
        "table = Xtables.found('legacy', 4)\n"
        "table.read()  # as root: all modules are loaded by now, as the next user may not read them\n"
        "os.setresuid(65534, 65534, 65534)\n"
        "try:\n  table.read()\nexcept RulesRefused as error: print(error)\n"
    )
    root = str(Path(__file__).parents[3])
    with namespaced(tmp_path, plan) as helper:
        helper.apply_rules()
        said = in_namespace_of(helper, f"{sys.executable} -I -S - {root} <<'END'\n{program}END")
    assert said.startswith("iptables-legacy needs root: Permission denied")


def test_the_helper_keeps_the_raw_socket_for_legacy_alone(helper: Helper, plan: Plan) -> None:
    status = Path(f"/proc/{helper.pid}/status").read_text()
    expected = 0x3000 if plan.backend == "iptables-legacy" else 0x1000
    assert f"CapEff:\t{expected:016x}" in status and f"CapBnd:\t{expected:016x}" in status
