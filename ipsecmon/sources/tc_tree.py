"""Qdiscs, classes and filters of one interface -> how they are configured, in places that stay. Pure.

The kernel numbers qdiscs that nobody gave a number, from 8001: up, anew each time. A place says instead where
such a one stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipsecmon.qos import QueueConfig
from ipsecmon.wire.tc import ROOT, TcObject, What, render_handle, render_parent

__all__ = ["describe_tree"]

_FIRST_AUTOMATIC, _INGRESS_MAJOR = 0x8000, 0xFFFF
_MEANING_HANDLES = ("fw", "route")  # filters whose handle is what they match; others' are mere numbers
_U32_TABLE = 0xFFFFF  # bits of a u32 handle that are 0 of a table
_DEPTH = 16  # of qdiscs in classes of qdiscs; the kernel allows 8


def describe_tree(objects: Sequence[TcObject]) -> list[QueueConfig]:
    """Qdiscs that the kernel made itself, 0:, only at the root."""
    parents = {one.handle >> 16: one.parent for one in objects if one.what is What.QDISC}
    return [
        _described(one, parents)
        for one in objects
        if one.kind != "noqueue" and (_is_filter(one) if one.what is What.FILTER else _is_told(one))
    ]


def _is_told(one: TcObject) -> bool:
    return bool(one.handle) or one.parent == ROOT


def _is_filter(one: TcObject) -> bool:
    """And not the head of a list of them, or a hash table of u32."""
    return bool(one.handle & _U32_TABLE if one.kind == "u32" else one.handle)


def _described(one: TcObject, parents: dict[int, int]) -> QueueConfig:
    parent = render_parent(one.parent)
    words = dict(one.config.words)
    if one.what is What.FILTER:
        parent = "ingress" if one.parent == _INGRESS_MAJOR << 16 else parent
        place = f"{_place(one.parent, parents)}/{one.info:x}/{one.chain}"
        if one.kind in _MEANING_HANDLES:
            place += f"/{one.handle:x}"
        return QueueConfig(one.what.value, one.kind, "", parent, place, one.config.digest, words)
    place = _place(one.handle, parents) if one.handle else parent
    handle = render_handle(one.handle, one.what)
    digest = f"{one.config.digest}@{_place(one.parent, parents)}"
    return QueueConfig(one.what.value, one.kind, handle, parent, place, digest, words)


def _place(handle: int, parents: dict[int, int], depth: int = 0) -> str:
    major, minor = handle >> 16, handle & 0xFFFF
    if handle == ROOT:
        return render_parent(handle)
    if major == _INGRESS_MAJOR or major < _FIRST_AUTOMATIC or depth > _DEPTH or major not in parents:
        return f"{major:x}:{minor:x}"
    return f"({_place(parents[major], parents, depth + 1)}):{minor:x}"
