"""SAs, policies and events for tests: a plain one with changes, and Hypothesis's strategies for any."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ipsecmon.ipsec import (
    AntiReplay,
    Encapsulation,
    Lifetime,
    Mark,
    Offload,
    Policy,
    SaEnd,
    SaFlush,
    SaNews,
    SaSoftExpiry,
    SecurityAssociation,
    Selector,
    Template,
)
from ipsecmon.model import Direction

__all__ = ["EVENTS", "POLICIES", "SAS", "a_policy", "an_sa", "moved"]

NONE = Lifetime(None, None, None, None, None, None, None, None)


def an_sa(spi: int = 1, packets: int = 7, **fields: Any) -> SecurityAssociation:
    row = SecurityAssociation(
        source="192.0.2.1",
        destination="192.0.2.2",
        family=2,
        spi=spi,
        protocol=50,
        mode="tunnel",
        reqid=3,
        octets=100 * packets,
        packets=packets,
        added_s=1000,
        used_s=1001 if packets else None,
        late_packets=0,
        replayed_packets=0,
        integrity_failures=0,
        replay_window=32,
        flags=0,
        lifetime=NONE,
        selector=None,
        anti_replay=AntiReplay(packets, 0, 32, 0),
        is_keyed=True,
    )
    return row._replace(**fields)


def moved(row: SecurityAssociation, packets: int = 1) -> SecurityAssociation:
    """After so many packets more."""
    state = row.anti_replay
    return row._replace(
        octets=row.octets + 100 * packets,
        packets=row.packets + packets,
        used_s=1001,
        last_used_s=2000,
        anti_replay=state and state._replace(highest=state.highest + packets, unseen=1),
    )


def a_policy(network: str = "10.1.0.0/16", direction: str = "out") -> Policy:
    template = Template("192.0.2.1", "192.0.2.2", 2, 0, 50, "tunnel", 3, False)
    return Policy(Selector(network, "10.2.0.0/16", 0, None, None), direction, False, False, 7, (template,))


_U8, _U16, _U32, _U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
_TEXT = st.sampled_from(("192.0.2.1", "2001:db8::1", "tunnel", "10.0.0.0/8", "", "\N{SNOWMAN}", '"\\\n'))
_MARK = st.builds(Mark, _U32, _U32)
_SELECTOR = st.builds(
    Selector, _TEXT, _TEXT, st.sampled_from((-1, 0, 6, 47)), st.none() | _U16, st.none() | _U16
)
_TEMPLATE = st.builds(Template, _TEXT, _TEXT, _U16, _U32, _U8, _TEXT, _U32, st.booleans())
SAS = st.builds(
    SecurityAssociation,
    source=_TEXT,
    destination=_TEXT,
    family=_U16,
    spi=st.integers(1, 6),
    protocol=_U8,
    mode=_TEXT,
    reqid=_U32,
    octets=_U64,
    packets=_U64,
    added_s=_U64,
    used_s=st.none() | st.integers(1, 2**64 - 1),
    late_packets=_U32,
    replayed_packets=_U32,
    integrity_failures=_U32,
    replay_window=_U32,
    flags=_U8,
    lifetime=st.builds(Lifetime, *[st.none() | _U64] * 8),
    selector=st.none() | _SELECTOR,
    mark=_MARK,
    set_mark=st.none() | _MARK,
    if_id=_U32,
    direction=st.sampled_from(Direction),
    encapsulation=st.none() | st.builds(Encapsulation, _TEXT, _U16, _U16, _TEXT),
    anti_replay=st.none() | st.builds(AntiReplay, _U64, _U64, _U32, _U32, st.booleans()),
    last_used_s=st.none() | st.integers(0, 2**64 - 2),
    offload=st.none() | st.builds(Offload, st.booleans(), st.booleans(), _U32, _TEXT),
    extra_flags=_U32,
    cpu=st.none() | _U32,
    is_keyed=st.booleans(),
)
POLICIES = st.builds(
    Policy,
    _SELECTOR,
    _TEXT,
    st.booleans(),
    st.booleans(),
    _U32,
    st.lists(_TEMPLATE, max_size=3).map(tuple),
    _MARK,
    _U32,
)
EVENTS = st.one_of(
    st.builds(SaNews, SAS, st.booleans()),
    st.builds(SaEnd, SAS, st.booleans()),
    st.builds(SaSoftExpiry, SAS),
    st.builds(SaFlush, _U8),
)
