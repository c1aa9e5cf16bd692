"""Every verb, by the real client, on the kernel, in a network namespace of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.errors import GroupInUse, HelperAway, HelperGone, RulesRefused
from ipsecmon.helper.client import Helper
from ipsecmon.helper.rules import Applied, Condition, apply_rules
from ipsecmon.helper.supervisor import PAUSE_S
from ipsecmon.model import CounterKey, Direction, ObservationPoint
from ipsecmon.ruleset.model import object_name
from ipsecmon.sources.nflog import NflogSource
from ipsecmon.wire.sa_dumps import DumpDecoder
from tests.unit.ruleset.plans import rich_plan, small_plan
from tests.unit.wire.both_ends import listed

from .namespaced import WAN, in_namespace_of, namespaced, send_leaving

WEB, OTHER = (
    object_name(CounterKey(name, Direction.OUT, ObservationPoint.WIRE)) for name in ("web", "other")
)
PLAN = small_plan()
THIRD_PARTY = {"numpy", "pydantic", "yaml", "click", "rich", "pyroute2", "influxdb_client"}


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Helper]:
    with namespaced(tmp_path, PLAN) as made:
        made.counters()  # it is in its namespace by now
        yield made


def values(helper: Helper) -> dict[str, tuple[int, int]]:
    return {one.name: (one.octets, one.packets) for one in helper.counters().counters}


def chains(helper: Helper) -> set[str]:
    listing = in_namespace_of(helper, "nft list table inet ipsecmon")
    return {line.split()[1] for line in listing.splitlines() if line.startswith("\tchain")}


def test_rules_are_applied_verified_and_removed_without_a_trace(helper: Helper) -> None:
    assert not helper.rules_stand()
    assert helper.apply_rules() == Applied(False, [], [])
    assert helper.rules_stand()
    helper.remove_rules()
    assert not helper.rules_stand()
    assert in_namespace_of(helper, "nft list ruleset") == ""


def test_removing_what_is_not_there_does_no_harm(helper: Helper) -> None:
    helper.remove_rules()
    helper.remove_rules()
    assert not helper.rules_stand()


def test_counters_are_read_together_with_the_tables_life(helper: Helper) -> None:
    assert helper.counters().table == 0
    helper.apply_rules()
    before = helper.counters()
    assert before.table > 0
    assert {one.name for one in before.counters} == {tap.object_name for tap in PLAN.taps()}
    helper.remove_rules()
    helper.apply_rules()
    after = helper.counters()
    assert after.table != before.table
    assert after.generation != before.generation


def test_rules_count_what_leaves_each_packet_once(helper: Helper) -> None:
    in_namespace_of(helper, WAN)
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    assert values(helper)[OTHER] == (500, 5)
    assert sum(packets for _, packets in values(helper).values()) == 5


def test_rules_applied_again_keep_the_values_of_their_counters(helper: Helper) -> None:
    in_namespace_of(helper, WAN)
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    life = helper.counters().table
    helper.apply_rules()
    send_leaving(helper, 9999, 2)
    assert (values(helper)[OTHER], helper.counters().table) == ((700, 7), life)


def test_a_changed_plan_takes_away_its_predecessors_chains_and_keeps_values(
    helper: Helper, tmp_path: Path
) -> None:
    in_namespace_of(helper, WAN)
    helper.apply_rules()
    send_leaving(helper, 9999, 5)
    smaller = replace(PLAN, parts=tuple(part for part in PLAN.parts if part.tap.name != "web"))
    with namespaced(tmp_path, smaller, beside=helper.pid) as successor:
        assert not successor.rules_stand()
        successor.apply_rules()
        assert successor.rules_stand()
        send_leaving(helper, 9999, 1)
        assert values(successor)[OTHER] == (600, 6)
    assert not helper.rules_stand()
    assert WEB not in chains(helper)
    assert len([name for name in chains(helper) if name.startswith("plan_")]) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "flush table inet ipsecmon",
        "flush chain inet ipsecmon line_out",
        "delete table inet ipsecmon",
        "flush ruleset",
        "add rule inet ipsecmon line_out accept",
        "add chain inet ipsecmon mine; add rule inet ipsecmon mine accept",
    ],
)
def test_somebody_elses_change_of_our_rules_is_noticed_and_can_be_mended(helper: Helper, damage: str) -> None:
    helper.apply_rules()
    generation = helper.counters().generation
    in_namespace_of(helper, f"nft '{damage}'")
    assert helper.counters().generation != generation
    assert helper.rules_condition() == Condition(stand=False, whole=False)
    helper.apply_rules()
    assert helper.rules_stand()


def test_somebody_elses_own_table_leaves_ours_standing(helper: Helper) -> None:
    helper.apply_rules()
    in_namespace_of(helper, "nft add table inet fw; nft add chain inet fw a")
    assert helper.rules_stand()
    helper.remove_rules()
    assert in_namespace_of(helper, "nft list tables") == "table inet fw\n"


def test_nat_that_comes_later_makes_the_rules_be_made_anew(helper: Helper) -> None:
    helper.apply_rules()
    in_namespace_of(
        helper, "nft add table ip n; nft add chain ip n p '{ type nat hook postrouting priority 100; }'"
    )
    assert helper.rules_condition() == Condition(stand=False, whole=True)
    assert helper.apply_rules().does_nat
    assert helper.rules_stand()


def test_nfmarks_are_left_alone_where_somebody_else_uses_them(tmp_path: Path) -> None:
    with namespaced(tmp_path, rich_plan()) as helper:
        assert helper.apply_rules().nfmarks_refused == []
        assert "meta mark set" in in_namespace_of(helper, "nft list table inet ipsecmon")
        in_namespace_of(helper, "ip rule add fwmark 0x10000/0xf0000 lookup 100")
        assert helper.rules_condition() == Condition(stand=False, whole=True)
        refused = helper.apply_rules().nfmarks_refused
        assert len(refused) == 1 and refused[0].startswith("ip rule uses nfmark bits 0x000f0000")
        assert helper.rules_stand()
        assert "meta mark set" not in in_namespace_of(helper, "nft list table inet ipsecmon")


def test_the_other_table_of_ours_is_nobody_elses_use_of_nfmarks(tmp_path: Path) -> None:
    with namespaced(tmp_path, rich_plan()) as helper:
        helper.apply_rules()
        live = replace(rich_plan(), table="ipsecmon_live")
        with namespaced(tmp_path, live, beside=helper.pid) as beside:
            assert beside.apply_rules().nfmarks_refused == []
            assert beside.rules_stand() and helper.rules_stand()
            beside.remove_rules()
        assert helper.rules_stand()


def test_what_nft_refuses_is_said_in_one_line_and_changes_nothing(helper: Helper) -> None:
    in_namespace_of(
        helper,
        "nft add table inet ipsecmon; nft add counter inet ipsecmon mine;"
        "nft add chain inet ipsecmon leaving '{ type filter hook input priority 0; }'",
    )
    before = in_namespace_of(helper, "nft list ruleset")
    with pytest.raises(RulesRefused, match="nft refused our rules: ") as raised:
        helper.apply_rules()
    assert "\n" not in str(raised.value)
    assert in_namespace_of(helper, "nft list ruleset") == before
    helper.remove_rules()
    helper.apply_rules()
    assert helper.rules_stand()


def test_an_nflog_socket_is_handed_over_with_an_answer_for_each_group(helper: Helper) -> None:
    opened = helper.open_nflog()
    source = NflogSource(opened.socket, PLAN.groups(), Counters())
    assert opened.requests == len(PLAN.groups())
    source.start()
    source.stop()


def test_the_helper_keeps_no_copy_so_groups_are_free_when_main_lets_go(helper: Helper) -> None:
    for _ in range(2):
        source = NflogSource(helper.open_nflog().socket, PLAN.groups(), Counters())
        source.start()
        source.stop()


def test_a_group_has_one_owner_and_the_second_is_told(helper: Helper) -> None:
    first = NflogSource(helper.open_nflog().socket, PLAN.groups(), Counters())
    second = NflogSource(helper.open_nflog().socket, PLAN.groups(), Counters())
    first.start()
    with pytest.raises(GroupInUse, match="NFLOG group 5600 is in use"):
        second.start()
    first.stop()
    second.stop()


def test_copies_go_on_coming_after_the_helper_has_ended(helper: Helper) -> None:
    in_namespace_of(helper, WAN)
    source = NflogSource(helper.open_nflog().socket, PLAN.groups(), Counters())
    source.start()
    helper.apply_rules()
    send_leaving(helper, 9999, 600)  # more than one datagram holds: no waiting for the flush
    helper.stop()
    assert sum(len(packets.group) for packets in source.poll()) >= 512
    source.stop()


def verbs(helper: Helper) -> list[Callable[[], object]]:
    asked = [helper.counters, helper.apply_rules, helper.remove_rules, helper.rules_stand]
    with_argument = [lambda: helper.sa_dump("netlink", 0), lambda: helper.sa_events("netlink")]
    return [*asked, *with_argument, lambda: helper.open_nflog().socket.close()]


def test_a_kernel_without_sas_says_so_and_a_new_helper_has_another_epoch(helper: Helper) -> None:
    first = helper.sa_dump("netlink", 0)
    again, heard = helper.sa_dump("netlink", first.number), helper.sa_events("netlink")
    assert listed(DumpDecoder().decode(first.records)) == ([], [])
    assert listed(DumpDecoder().decode(again.records)) == ([], None)
    assert (again.epoch, again.number) == (first.epoch, first.number + 1)
    assert heard == (first.epoch, False, False, b"[]")
    os.kill(helper.pid, signal.SIGKILL)
    assert helper.sa_events("netlink").epoch != first.epoch
    assert listed(DumpDecoder().decode(helper.sa_dump("netlink", again.number).records)) == ([], [])


def test_a_helper_that_died_is_followed_by_another_for_every_verb(helper: Helper) -> None:
    restarts: list[int] = []
    helper.on_restart = lambda: restarts.append(helper.pid)
    for number, verb in enumerate(verbs(helper), 1):
        before = helper.pid
        os.kill(before, signal.SIGKILL)
        verb()
        assert helper.pid != before and len(restarts) == number


def test_a_helper_that_dies_young_is_followed_after_a_pause(helper: Helper) -> None:
    for _ in range(2):
        began = time.monotonic()
        os.kill(helper.pid, signal.SIGKILL)
        helper.counters()
    assert time.monotonic() - began >= PAUSE_S


def test_the_next_helper_knows_the_plan_that_its_predecessor_was_told(helper: Helper) -> None:
    smaller = replace(PLAN, parts=tuple(part for part in PLAN.parts if part.tap.name != "web"))
    helper.change_plan(smaller)
    helper.apply_rules()
    os.kill(helper.pid, signal.SIGKILL)
    assert helper.rules_stand()
    assert WEB not in values(helper)


def test_a_plan_that_needs_a_restart_is_refused_and_the_old_one_stands(helper: Helper) -> None:
    helper.apply_rules()
    with pytest.raises(RulesRefused, match="restart needed"):
        helper.change_plan(replace(PLAN, nfmark_mask=1))
    assert helper.rules_stand()


def test_a_helper_is_away_while_none_can_be_started(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert helper._process is not None
    monkeypatch.setattr("ipsecmon.helper.client._AWAY_S", 0.05)
    helper._process.send_signal(signal.SIGSTOP)
    os.kill(helper.pid, signal.SIGKILL)
    for verb in verbs(helper):
        with pytest.raises(HelperAway, match="is being started again"):
            verb()
    helper._process.send_signal(signal.SIGCONT)
    monkeypatch.undo()
    assert helper.counters().table == 0


def test_a_helper_without_its_supervisor_goes_on_and_is_gone_when_it_dies(helper: Helper) -> None:
    assert helper._process is not None
    helper._process.kill()
    helper._process.wait(10)
    helper.counters()
    os.kill(helper.pid, signal.SIGKILL)
    for verb in verbs(helper):
        with pytest.raises(HelperGone, match="the helper process has ended"):
            verb()


def test_a_helper_that_was_not_started_or_was_stopped_is_gone(helper: Helper) -> None:
    helper.stop()
    helper.stop()
    for one in (helper, Helper(PLAN)):
        with pytest.raises(HelperGone):
            one.counters()
    assert Helper(PLAN).pid == 0


def test_the_helper_loads_the_standard_library_and_ipsecmon_only(tmp_path: Path) -> None:
    imports = tmp_path / "imports"
    imports.touch()
    with namespaced(tmp_path, PLAN, options="-X importtime 2>" + str(imports)) as helper:
        helper.apply_rules()
        helper.counters()
        helper.rules_stand()
        helper.open_nflog().socket.close()
        helper.remove_rules()
    loaded = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in imports.read_text().splitlines()
        if line.startswith("import time:")
    }
    assert "ipsecmon" in loaded and loaded.isdisjoint(THIRD_PARTY)
    standard = getattr(sys, "stdlib_module_names", loaded)  # Python 3.9 has no list of its own
    ours = {"ipsecmon", "imported package", "org"}  # pickle looks whether this is Jython
    assert {name for name in loaded - ours if not name.startswith("_")} <= set(standard)


def test_without_nft_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecmon.helper.programs._FOLDERS", (str(tmp_path),))
    with pytest.raises(RulesRefused, match="nft is not installed: install the package nftables"):
        apply_rules(PLAN)


def test_an_nft_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    nft.chmod(0o755)
    monkeypatch.setattr("ipsecmon.helper.programs._FOLDERS", (str(tmp_path),))
    monkeypatch.setattr("ipsecmon.helper.programs._TIMEOUT_S", 0.1)
    with pytest.raises(RulesRefused, match=r"nft did not end within 0\.1 s"):
        apply_rules(PLAN)
