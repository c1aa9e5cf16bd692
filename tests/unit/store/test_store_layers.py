"""Layers inside tunnels in the store: sums that never change, however many road warriors came and went."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.model import Batch, Direction, Layer, LayerIncrement, LayerKey
from ipsecmon.store import LayerRow, layer_rows
from ipsecmon.store import layers as layers_module
from ipsecmon.store.codec import decode_batch, encode_batch
from tests.unit.store.store_cases import DAY_S, batch, commit, opened

ESP = LayerKey("warriors", Layer.ESP, "", Direction.IN)


def key(link: str) -> LayerKey:
    return LayerKey("warriors", Layer.IP, link, Direction.IN)


def layered(after_s: int, *layers: LayerIncrement) -> Batch:
    return replace(batch(after_s), layers=layers)


def rows(folder: Path) -> dict[LayerKey, LayerRow]:
    return {row.key: row for row in layer_rows(folder)}


def test_sums_add_up_and_the_newest_interval_stands_beside_them(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, layered(0, LayerIncrement(key("anna"), 1000, 10), LayerIncrement(key("bert"), 5, 1)))
        commit(store, layered(10, LayerIncrement(key("anna"), 300, 3, 100, 1)))
    found = rows(tmp_path)
    anna, bert = found[key("anna")], found[key("bert")]
    assert (anna.octets, anna.packets, anna.last_octets, anna.last_packets) == (1300, 13, 200, 2)
    assert (bert.octets, bert.last_octets, bert.is_newest) == (5, 0, False)


def test_a_batch_with_layers_comes_back_from_the_spool() -> None:
    one = layered(0, LayerIncrement(ESP, 1000, 10), LayerIncrement(key("anna"), 300, 3, 100, 1))
    assert decode_batch(encode_batch(one)) == one


def test_who_was_away_for_longer_than_the_retention_is_one_of_others(tmp_path: Path) -> None:
    with opened(tmp_path, retention_s=2 * DAY_S) as store:
        commit(store, layered(0, LayerIncrement(key("anna"), 1000, 10), LayerIncrement(ESP, 7, 1)))
        commit(store, layered(3 * DAY_S, LayerIncrement(key("bert"), 5, 1)))
    assert {one.link: row.octets for one, row in rows(tmp_path).items()} == {"": 7, "others": 1000, "bert": 5}


def test_beyond_the_most_rows_those_away_for_longest_go_and_no_sum_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers_module, "MAX_LAYERS", 3)
    with opened(tmp_path) as store:
        for number in range(6):
            commit(store, layered(900 * number, LayerIncrement(key(f"warrior-{number}"), 100, 1)))
    found = rows(tmp_path)
    assert sum(row.octets for row in found.values()) == 600
    assert len(found) <= 4
    assert key("warrior-5") in found


def test_a_store_without_any_has_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0))
    assert layer_rows(tmp_path) == []
