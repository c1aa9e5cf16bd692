"""Interfaces by this machine's kernel, as anybody may ask it; with GRE and PPP they are in tests/guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.errors import SourceError
from ipsecmon.links import LinkNews
from ipsecmon.sources.links import L2tp, LinkSource, is_pppoe, read_l2tp
from tests.unit.wire.test_l2tp_text import PPPOL2TP, UDP


def test_the_kernel_answers_whole_and_tells_of_nothing_that_is_no_tunnel() -> None:
    source = LinkSource(Counters())
    source.start()
    try:
        dump = source.dump()
        assert dump.is_whole
        assert "lo" not in [event.link.name for event in dump.events if isinstance(event, LinkNews)]
        assert source.hear().events == []
    finally:
        source.stop()


def test_l2tp_of_this_machine_can_be_read() -> None:
    assert read_l2tp().gateways is not None


def test_sessions_and_gateways_are_told_where_the_kernel_does_l2tp(tmp_path: Path) -> None:
    (tmp_path / "udp").write_text(UDP)
    assert read_l2tp(tmp_path) == L2tp(None, frozenset({"203.0.113.2"}))
    (tmp_path / "pppol2tp").write_text(PPPOL2TP)
    assert read_l2tp(tmp_path) == L2tp(frozenset({"ppp0"}), frozenset({"203.0.113.2"}))


def test_a_table_that_is_none_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "udp").write_text("nonsense\n")
    with pytest.raises(SourceError, match="not a table of sockets"):
        read_l2tp(tmp_path)


@pytest.mark.parametrize(
    ("command", "told"),
    [(b"/usr/sbin/pppd\0plugin\0rp-pppoe.so\0", True), (b"/usr/sbin/pppd\0plugin\0pppol2tp.so\0", False)],
)
def test_the_command_of_pppd_tells_pppoe(tmp_path: Path, command: bytes, told: bool) -> None:
    (tmp_path / "ppp0.pid").write_text("42\n")
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "cmdline").write_bytes(command)
    assert is_pppoe("ppp0", tmp_path, tmp_path) is told
    assert not is_pppoe("ppp1", tmp_path, tmp_path)
